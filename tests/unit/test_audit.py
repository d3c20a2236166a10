"""The audit finds every mistake people make, alone and all together, and raises no alarm where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploys.auditing.document import parse_yaml
from deploys.auditing.findings import Severity
from deploys.auditing.inputs import read_env
from deploys.auditing.known import assumed
from deploys.auditing.load import subject_of
from deploys.auditing.registry import RULES
from deploys.auditing.report import Report
from deploys.auditing.rules import audit, rules
from deploys.auditing.sources import make_source
from deploys.components.litellm.state import StateSettings, general_settings_part
from deploys.lib.render import ROOT
from deploys.lib.settings import settings_from
from tests.unit import site
from tests.unit.audit import bundle

MISTAKES = sorted((bundle.HERE / "mistakes").glob("*.txt"))
SOUND = sorted((bundle.HERE / "sound").glob("*.yaml"))
EVERYTHING = bundle.HERE / "everything.txt"
GOLDEN = ROOT / "tests" / "golden"
LINT = [f"L{number:02}" for number in range(1, 39)]
# Mistakes that are two mistakes: what else is rightly found beside the one a fixture is named after.
BESIDE: dict[str, set[str]] = {"L03": {"S02"}, "L09": {"S02"}, "L33": {"H01"}, "L36": {"L36"}}
# What is said of a file as a whole, because something is not in it.
OF_NO_LINE = {"B01", "B02"}


def audited(path: Path, folder: Path) -> Report:
    return bundle.report(bundle.arguments(path, folder))


def serious(report: Report) -> list[str]:
    return [f"{f.rule} {f.place}: {f.detail}" for f in report.findings if f.severity < Severity.P2]


def test_there_is_a_fixture_for_every_known_mistake() -> None:
    assert [path.stem for path in MISTAKES if path.stem in LINT] == LINT
    assert set(LINT) <= set(rules())
    # What is wrong on a host and in none of its files is in the answers of test_audit_host.py.
    live = {name for name in rules() if name.startswith("X")}
    assert {path.stem for path in MISTAKES} == set(rules()) - live and len(live) == 9


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_a_mistake_is_found_where_it_stands_and_nothing_else_is(path: Path, tmp_path: Path) -> None:
    report = audited(path, tmp_path)
    own = [finding for finding in report.findings if finding.rule == path.stem]
    assert own, [finding.rule for finding in report.findings]
    for finding in own:
        assert Path(finding.place.source).name in {*bundle.parts(path), "--version 1.106.2"}
        assert finding.place.text or path.stem in OF_NO_LINE
        assert finding.detail and finding.effect and finding.source
    others = {finding.rule for finding in report.findings if finding.severity < Severity.P2}
    assert others <= {path.stem} | BESIDE.get(path.stem, set())


def test_all_mistakes_together_are_all_found(tmp_path: Path) -> None:
    report = audited(EVERYTHING, tmp_path)
    assert [rule for rule in LINT if rule not in {finding.rule for finding in report.findings}] == []
    assert [finding.order for finding in report.findings] == sorted(finding.order for finding in report.findings)


@pytest.mark.parametrize("variant", ["", ".split", ".tls"])
def test_our_own_configuration_is_sound(variant: str) -> None:
    ours = GOLDEN / "litellm"
    files = {
        "config": ours / "etc__litellm__config.yaml",
        "--env": ours / "etc__litellm__.env",
        "--unit": ours / "etc__systemd__system__litellm.service",
        "--redis-conf": GOLDEN / "redis" / "etc__redis__redis.conf",
    }
    varied = {name: path.with_name(path.name + variant) for name, path in files.items()}
    assert any(path.exists() for path in varied.values())
    files |= {name: path for name, path in varied.items() if path.exists()}
    words = [str(files.pop("config")), "--version", assumed(), "--max-connections", "100"]
    report = bundle.report([*words, *(word for name, path in files.items() for word in (name, str(path)))])
    assert serious(report) == []
    assert not report.notes


@pytest.mark.parametrize("path", sorted((GOLDEN / "litellm_catalogue").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_our_catalogue_renders_is_sound(path: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_list:\n" + path.read_text())
    assert serious(bundle.report([str(tmp_path / "config.yaml"), "--version", assumed()])) == []


def test_a_score_of_litellms_own_examples_are_sound() -> None:
    assert len(SOUND) >= 20


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_litellms_own_example_raises_no_alarm(path: Path) -> None:
    assert serious(bundle.report([str(path), "--version", "1.106.2"])) == []


@pytest.mark.parametrize("path", [*MISTAKES, EVERYTHING], ids=lambda path: path.stem)
def test_a_fix_applies_and_mends_what_it_is_for(path: Path, tmp_path: Path) -> None:
    """Each diff is applied alone; the finding is gone then, and nothing that is not about it has come."""
    subject, _ = subject_of(bundle.files(bundle.arguments(path, tmp_path)))
    before = audit(subject)
    for finding in (finding for finding in before if finding.fix):
        text = bundle.applied(subject.config.source.text, finding.fix)
        config = parse_yaml(make_source(subject.config.source.name, text.encode(), is_yaml=True))
        after = audit(replace(subject, config=config))
        assert (finding.rule, finding.detail) not in {(each.rule, each.detail) for each in after}, finding.fix
        if finding.rule in ("L38", "K01"):
            continue  # a key that is read at last may well have more wrong with it
        # A reference in place of a secret asks for its variable, which this environment does not have.
        assert {each.rule for each in after} - {each.rule for each in before} <= {"S09"}, finding.fix


def test_what_is_advised_for_the_spend_log_is_what_we_render_ourselves(tmp_path: Path) -> None:
    (path,) = [path for path in MISTAKES if path.stem == "D02"]
    subject, _ = subject_of(bundle.files(bundle.arguments(path, tmp_path)))
    (finding,) = [finding for finding in audit(subject) if finding.rule == "D02"]
    mended = yaml.safe_load(bundle.applied(subject.config.source.text, finding.fix))["general_settings"]
    ours = general_settings_part(settings_from({}, "litellm_", StateSettings, site.resolve))
    for key in ("maximum_spend_logs_retention_period", "maximum_spend_logs_retention_interval"):
        assert mended[key] == ours[key] and f'{key}: "{ours[key]}"' in RULES["D02"].advice


def test_every_rule_says_what_comes_of_it_what_to_do_and_where_that_is_written() -> None:
    for rule in RULES.values():
        assert rule.effect.endswith(".") and rule.advice and rule.title and rule.source, rule.id
        assert not rule.title.endswith("."), rule.id


@pytest.mark.parametrize(
    ("text", "rule", "detail"),
    [
        ("LITELLM_SALT_KEY=changeme\n", "S01", "LITELLM_SALT_KEY has a well-known default in it"),
        ("OLLAMA_API_KEY=abcdefghijklmnop\n", "S08", "OLLAMA_API_KEY is set, and there are local Ollama models"),
        ("DATABASE_URL=postgresql://u:Xk29fLq0aa@db/l\n", "S03", "there is a database and no LITELLM_SALT_KEY"),
        ("REDIS_URL=redis://cache:6379\n", "C02", "REDIS_URL is set"),
        ("DETAILED_DEBUG=1\n", "L16", "DETAILED_DEBUG is set, and the command line takes it for its own flag"),
        ("", "L03", "LITELLM_MASTER_KEY is not set, so the gateway has no master key"),
    ],
)
def test_the_environment_is_judged_too(text: str, rule: str, detail: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "model_list:\n- model_name: a\n  litellm_params: {model: ollama_chat/a, api_base: 'http://10.0.0.1:11434'}\n"
        "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n"
    )
    (tmp_path / ".env").write_text(text)
    found = bundle.report([str(tmp_path / "config.yaml"), "--env", str(tmp_path / ".env")]).findings
    assert (rule, detail) in [(finding.rule, finding.detail) for finding in found]


def test_an_environment_file_is_read_as_systemd_and_a_shell_read_it() -> None:
    text = b'export A="x \\"y\\" \\$z"\nB=plain # note\n# C=no\nD=\'1 2\'\n E = 5\n'
    found = read_env(make_source("env", text, is_yaml=False))
    assert {name: variable.value for name, variable in found.items()} == {
        "A": 'x "y" $z',
        "B": "plain",
        "D": "1 2",
        "E": "5",
    }
    assert found["D"].place.line == 4
