"""No secret comes out of an audit: whatever form it is written in, whatever is wrong around it, in every output."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deploys.auditing.cli import main
from deploys.auditing.masking import WELL_KNOWN, is_secret, mask_value, read_mark, traits
from deploys.auditing.masking_text import mask_text
from deploys.lib import checks
from tests.unit.audit import bundle
from tests.unit.thorough import examples, thorough

pytestmark = thorough

# Letters and signs that YAML, shells and URLs all give a meaning to; never short enough to be found by chance.
SECRET = st.text(string.ascii_letters + string.digits + "-_.!/+=", min_size=12, max_size=40).filter(
    lambda text: text[0].isalnum() and text[-1].isalnum() and not re.search("none|true|null", text)
)
STYLES = {
    "plain": "general_settings:\n  master_key: SECRET\n  other: 1\n",
    "double quotes": 'general_settings: {"master_key": "SECRET", other: 1}\n',
    "single quotes": "general_settings:\n  'master_key': 'SECRET'  # note\n  other: 1\n",
    "flow": "a:\n- {model: openai/x, api_key: SECRET, other: [1, 2]}\n",
    "literal block": "a:\n  vertex_credentials: |\n    SECRET\n    more SECRET\n  other: 1\n",
    "folded block": "a:\n  password: >-\n    SECRET\n  other: 1\n",
    "next line": "a:\n  password:\n    SECRET\n  other: 1\n",
    "continued": 'a:\n  password: "one\n    SECRET"\n  other: 1\n',
    "continued plain": "a:\n  password: one\n    SECRET\n  other: 1\n",
    "list": "a:\n  api_keys:\n  - SECRET\n  - 'SECRET'\n  other: 1\n",
    "indented list": "a:\n  tokens:\n    - SECRET\n  other: 1\n",
    "mapping": "a:\n  alert_to_webhook_url:\n    outage: SECRET\n  other: 1\n",
    "flow below": "a:\n  credential_values: {one: SECRET,\n    two: [SECRET]}\n  other: 1\n",
    "headers": "a:\n  extra_headers: {X-Anything: SECRET}\n  other: 1\n",
    "comment": "a:\n  # api_key: SECRET\n  other: 1\n",
    "anchor": "a:\n  api_key: &key SECRET\n  password: *key\n  other: 1\n",
    "tag": "a:\n  api_key: !!str SECRET\n  other: 1\n",
    "url": "a:\n  database_url: postgresql://user:SECRET@db:5432/litellm\n  other: 1\n",
    "redis url": "a:\n  url: redis://:SECRET@cache:6379/0\n  other: 1\n",
    "query": "a:\n  api_base: https://host/v1?api_key=SECRET\n  other: 1\n",
    "slack": "a:\n  somewhere: https://hooks.slack.com/services/SECRET\n  other: 1\n",
    "bearer": "a:\n  note: Bearer SECRET\n  other: 1\n",
    "sk": "a:\n  anything: sk-SECRET\n  other: 1\n",
    "compose list": "services:\n  x:\n    environment:\n      - OPENAI_API_KEY=SECRET\n",
    "compose list in quotes": 'services:\n  x:\n    environment:\n      - "DB_PASSWORD=SECRET"\n',
    "command": 'x:\n  command: ["redis-server", "--requirepass", "SECRET"]\n',
    "pem": "a:\n  x: |\n    -----BEGIN PRIVATE KEY-----\n    SECRET\n    -----END PRIVATE KEY-----\n  other: 1\n",
}
LINES = (
    "OPENAI_API_KEY=SECRET",
    'export LITELLM_SALT_KEY="SECRET"',
    "REDIS_PASSWORD='SECRET'",
    "DATABASE_URL=postgresql://u:SECRET@h/db",
    'Environment="AZURE_API_KEY=SECRET" TZ=UTC',
    "ExecStart=/usr/bin/litellm --api_key SECRET --port 4100",
    "requirepass SECRET",
    "user default on >SECRET ~* +@all",
    'curl -H "Authorization: Bearer SECRET" http://localhost:4000/health',
    'curl -H "x-api-key: SECRET" http://localhost:4000/health',
)


def shape(node: yaml.Node) -> object:
    """A YAML node without its values."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: shape(value) for key, value in node.value}
    return [shape(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else None


@settings(max_examples=examples(25), deadline=None)
@given(secret=SECRET)
@pytest.mark.parametrize("style", STYLES)
def test_a_secret_in_yaml_is_masked_and_the_file_keeps_its_structure(style: str, secret: str) -> None:
    assume(secret not in STYLES[style])  # hypothesis picks words of our own code
    text = STYLES[style].replace("SECRET", secret)
    masked = mask_text(text, yaml=True)
    assert secret not in masked
    assert len(masked.splitlines()) == len(text.splitlines())
    assert shape(yaml.compose(masked)) == shape(yaml.compose(text))


@settings(max_examples=examples(25), deadline=None)
@given(secret=SECRET)
@pytest.mark.parametrize("line", LINES)
def test_a_secret_in_any_other_file_is_masked(line: str, secret: str) -> None:
    assume(secret not in line)
    masked = mask_text(line.replace("SECRET", secret) + "\n", yaml=False)
    assert secret not in masked
    assert read_mark(masked)


def test_what_is_no_secret_is_left_alone() -> None:
    text = (
        "model_list:\n- model_name: a\n  litellm_params: {model: openai/a, api_key: os.environ/OPENAI_API_KEY,"
        " max_tokens: 4096, input_cost_per_token: 0.0000025, api_base: 'http://127.0.0.1:8000/v1'}\n"
        "litellm_settings:\n  disable_hf_tokenizer_download: true\n  key_generation_settings: {a: {b: [c]}}\n"
        "  callbacks: [prometheus]   # a key change\n  cache_params: {namespace: x, password: '${REDIS}'}\n"
        "general_settings:\n  litellm_key_header_name: X-Key\n  enable_jwt_auth: true\n  api_key: none\n"
    )
    assert mask_text(text, yaml=True) == text
    assert mask_text("curl -s http://x/metrics >/dev/null\nTZ=UTC\n", yaml=False).splitlines()[0].endswith(">/dev/null")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("master_key", True),
        ("OPENAI_API_KEY", True),
        ("aws_secret_access_key", True),
        ("SLACK_WEBHOOK_URL", True),
        ("x-api-key", True),
        ("max_tokens", False),
        ("output_cost_per_token", False),
        ("model", False),
        ("on_pass", False),
    ],
)
def test_a_name_tells_whether_its_value_is_a_secret(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


def test_a_marker_says_what_a_rule_must_know_and_nothing_else() -> None:
    assert mask_value("LITELLM_MASTER_KEY", "sk-1234") == "<masked.7.sk.well-known>"
    assert read_mark(mask_value("password", "Zk4vQ9xLm2")) == (10, frozenset())
    assert traits("aaaaaaaaaaaa") == ["weak"]
    assert mask_value("api_key", "none") == "none"
    assert set(checks.WELL_KNOWN) - {"sk-1234", "sk-1234567890abcdef"} <= WELL_KNOWN


def fixture_secrets(path: Path) -> set[str]:
    """Values of fixtures that must not be shown; collected by what they are and not by the code under test."""
    text = path.read_text()
    found = set(re.findall(r"sk-[\w-]{4,}", text)) | set(re.findall(r"://[^:/\s]*:([^@\s]+)@", text))
    found |= set(re.findall(r"hooks\.slack\.com/services/(\S+)", text))
    return found | set(re.findall(r"(?:PASSWORD|SALT_KEY)=(?!os\.environ)(\S+)", text))


@pytest.mark.parametrize("form", ["table", "--json", "--sarif", "--html"])
def test_no_secret_of_any_fixture_is_in_any_output(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*sorted((bundle.HERE / "mistakes").glob("*.txt")), bundle.HERE / "everything.txt"]
    seen = set()
    for path in paths:
        page = tmp_path / "page.html"
        words = [*bundle.arguments(path, tmp_path), "--fail-on", "never"]
        words += {"table": [], "--html": ["--html", str(page)]}.get(form, [form])
        assert main(words) == 0
        out = capsys.readouterr()
        text = out.out + out.err + (page.read_text() if page.exists() else "")
        secrets = fixture_secrets(path)
        assert not [secret for secret in secrets if secret in text], path
        seen |= secrets
    assert len(seen) > 8


def test_a_secret_in_what_cannot_be_parsed_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (
        "general_settings:\n  master_key: [sk-hidden-9Xk2Lq\n",
        "general_settings:\n  master_key: *sk-hidden-9Xk2Lq\n",
        "a: !hidden-9Xk2Lq b\n",
        "'hidden-9Xk2Lq",
    ):
        (tmp_path / "c.yaml").write_text(text)
        assert main([str(tmp_path / "c.yaml"), "--version", "1.106.2"]) in (1, 2)
        out = capsys.readouterr()
        assert "hidden" not in out.out + out.err
