"""Names of secrets: a slip in one still masks its value, and LiteLLM's own names of other things stay readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploys.auditing.facts import program
from deploys.auditing.known import assumed, names
from deploys.auditing.load import Files, report_on, subject_of
from deploys.auditing.masking import is_secret
from deploys.auditing.masking_text import mask_text
from deploys.auditing.report import to_json, to_sarif
from deploys.auditing.show import to_html
from tests.unit.test_audit_keys import slips

SECRETS = """
    LITELLM_MASTER_KEY LITELLM_SALT_KEY OPENAI_API_KEY REDIS_PASSWORD DB_PASSWORD UI_PASSWORD GITHUB_TOKEN
    CLIENT_SECRET master_key api_key password passwd client_secret token
"""
MISSPELT = """
    LITELLM_SALT_KEYY REDIS_PASSWORD1 REDIS_PASSWRD OPENAI_API_KEY_2 passwrd ui_passwordd DB_PASSWORD_PROD PGPASSWORD
    apitoken PORTCULLIS_MODEL_KEY_OPENAI uipass auth token_value ADMIN_AGENT_SERVICE_TOKEN CUSTOM_KEY COSTCO_API_KEY
    BYPASS_TOKEN tokenizer_api_key tokens
"""
PLAIN = """
    max_tokens budget_tokens maxTokens input_cost_per_token key_management_system key_management_settings
    enable_jwt_auth
    custom_auth pass_through_endpoints key_generation_settings custom_tokenizer user_api_key_cache_ttl credential_list
    default_key_generate_params AWS_ACCESS_KEY_ID credential_name
"""
VALUE = "Zk4vQ9xLm2Tr7w"


@pytest.mark.parametrize("name", MISSPELT.split())
def test_a_name_that_only_resembles_a_secrets_is_one(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", PLAIN.split())
def test_a_name_with_a_secrets_word_in_it_may_be_of_something_else(name: str) -> None:
    assert not is_secret(name)


def test_the_numbers_of_litellm_are_not_taken_for_secrets() -> None:
    for section in ("litellm_params", "model_info", "router_settings", "general_settings", "litellm_settings"):
        for name in names(assumed(), section):
            if name.endswith(("_tokens", "_ttl", "_limit")) or "cost" in name:
                assert not is_secret(name), name


def mutations(name: str) -> list[str]:
    """``name`` with one slip, or one digit more."""
    return slips(name) + [name[:at] + "7" + name[at:] for at in range(1, len(name) + 1)]


@pytest.mark.parametrize("name", SECRETS.split())
def test_every_single_slip_in_a_secrets_name_is_forgiven(name: str) -> None:
    assert [slip for slip in mutations(name) if not is_secret(slip)] == []


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_misspelt_secret_is_in_no_output(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([slip for name in SECRETS.split() for slip in mutations(name)]))
    folder: Path = tmp_path_factory.mktemp("slip")
    (folder / "c.yaml").write_text(
        f"general_settings:\n  {name}: {VALUE}\nenvironment_variables: {{{name}: {VALUE}}}\n"
    )
    (folder / ".env").write_text(f"{name}={VALUE}\n")
    (folder / "u").write_text(f"[Service]\nEnvironment={name}={VALUE}\nExecStart=/usr/bin/litellm --config c.yaml\n")
    report = report_on(*subject_of(Files(folder / "c.yaml", folder / ".env", folder / "u")))
    for text in (to_json([report]), to_sarif([report]), to_html([report]), json.dumps(report.summary)):
        assert VALUE not in text


@pytest.mark.parametrize(
    "line",
    [
        f"curl -s -u bob:{VALUE} http://x/health",
        f"curl --user a:{VALUE} http://x",
        f'curl -u "bob:{VALUE}" http://x',
        f'["curl", "-u", "bob:{VALUE}", "http://x"]',
        f"ExecStartPost=/usr/bin/curl -ubob:{VALUE} http://x",
        f"URL https://outlook.office.com/webhook/{VALUE}/IncomingWebhook",
    ],
)
def test_a_password_for_curl_and_an_address_that_is_one_are_masked(line: str) -> None:
    assert VALUE not in mask_text(line + "\n", yaml=False)
    assert VALUE not in mask_text(f"a:\n  command: {line}\n", yaml=True)


def test_a_key_that_is_written_with_a_question_mark_is_masked_too() -> None:
    for text in (f"a:\n  ? api_key\n  : {VALUE}\n", f"? api_key\n: '{VALUE}'\n", f"? password\n:\n  {VALUE}\n"):
        assert VALUE not in mask_text(text, yaml=True)


def test_the_hosts_program_masks_as_this_one_does() -> None:
    """It is one file made of three: a name of one must not take the place of another's."""
    made: dict[str, object] = {"__name__": "there"}
    exec(compile(program(), "host", "exec"), made)
    judge = made["is_secret"]
    assert callable(judge)
    assert all(judge(name) for name in MISSPELT.split()) and not any(judge(name) for name in PLAIN.split())
