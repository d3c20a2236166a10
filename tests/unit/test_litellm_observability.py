"""What the gateway tells: the keys and variables of logs, metrics, traces and alerts, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components.litellm import metrics as litellm_metrics
from deploys.components.litellm import observability as litellm_observability
from deploys.components.litellm.component import LITELLM
from deploys.components.litellm.observability import (
    DEAD_ALERTS,
    VARIABLES,
    ObservabilitySettings,
    destinations,
    environment_part,
    general_settings_part,
    litellm_settings_part,
)
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib.render import ROOT
from deploys.lib.settings import SettingsError, settings_from
from tests.unit import site
from tests.unit.site import by_path, single

SECRETS = {
    "SLACK": "https://hooks.example.org/services/T0/B0/secret-part",
    "HOOK": "https://alerts.example.org/in?token=secret-part",
    "HEADERS": "authorization=Bearer secret-part==,x-tenant=a",
    "BAD_URL": "hooks.example.org/secret-part",
    "BAD_HEADERS": "Authorization: Bearer secret-part",
    "COMMA": "authorization=secret,part",
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setitem(site.SECRETS, name, value)


def told(**data: Any) -> ObservabilitySettings:
    return settings_from(
        {f"litellm_{key}": value for key, value in data.items()}, "litellm_", ObservabilitySettings, site.resolve
    )


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        told(**data)
    (problem,) = caught.value.problems
    assert "secret-part" not in problem
    return problem


def test_by_default_prompts_stay_inside_metrics_are_kept_and_nobody_is_sent_anything() -> None:
    assert litellm_settings_part(told()) == {
        "turn_off_message_logging": True,
        "redact_messages_in_exceptions": True,
        "json_logs": True,
        "callbacks": ["prometheus"],
        "service_callback": ["prometheus_system"],
        "require_auth_for_metrics_endpoint": True,
    }
    assert general_settings_part(told()) == {"include_call_id_in_error_body": True}
    assert environment_part(told()) == {"LITELLM_LOG": "WARNING"}


def test_what_is_switched_off_leaves_no_key_behind() -> None:
    off = told(metrics=False, json_logs=False, log_messages=True, include_call_id_in_error_body=False)
    # LiteLLM takes any value of json_logs but true for nothing, and an empty list of callbacks for a module's name.
    assert litellm_settings_part(off) == {"turn_off_message_logging": False, "redact_messages_in_exceptions": True}
    assert general_settings_part(off) == {"include_call_id_in_error_body": False}
    assert litellm_metrics.units(off, wanted=False) == ["litellm-metrics.service"]
    assert (
        litellm_metrics.units(off, wanted=True) == litellm_metrics.listeners(off) == litellm_metrics.probes(off) == []
    )


def test_one_place_for_alerts_is_a_variable_and_two_are_named_for_every_type() -> None:
    slack = told(slack_webhook="env:SLACK", alerting_threshold=120, alert_types=["llm_too_slow"])
    assert general_settings_part(slack) == {
        "include_call_id_in_error_body": True,
        "alerting": ["slack"],
        "alerting_threshold": 120,
        "alert_types": ["llm_too_slow"],
    }
    assert destinations(slack) == {"SLACK_WEBHOOK_URL": SecretStr(SECRETS["SLACK"])}
    assert general_settings_part(told(alert_webhook="env:HOOK"))["alerting"] == ["slack"], "a form, not a place"
    both = told(slack_webhook="env:SLACK", alert_webhook="env:HOOK", alert_types=["llm_too_slow", "budget_alerts"])
    where = ["os.environ/SLACK_WEBHOOK_URL", "os.environ/ALERTING_WEBHOOK_URL"]
    assert general_settings_part(both)["alert_to_webhook_url"] == {"llm_too_slow": where, "budget_alerts": where}
    assert environment_part(both)["ALERTING_WEBHOOK_URL"] == SecretStr(SECRETS["HOOK"])


def test_traces_and_the_log_sink_are_told_of_in_variables() -> None:
    s = told(
        otel_endpoint="http://collector.example.org:4318",
        otel_headers="env:HEADERS",
        otel_sample_ratio=0.25,
        forward_traceparent=True,
        log_sink="https://logs.example.org/in",
        log_sink_headers="env:HEADERS",
    )
    assert litellm_settings_part(s)["callbacks"] == ["prometheus", "otel", "generic_api"]
    assert litellm_settings_part(s)["forward_traceparent_to_llm_provider"] is True
    assert environment_part(s) == {
        "LITELLM_LOG": "WARNING",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.org:4318",
        "OTEL_SERVICE_NAME": "litellm",
        "OTEL_EXPORTER_OTLP_HEADERS": SecretStr(SECRETS["HEADERS"]),
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.25",
        "GENERIC_LOGGER_ENDPOINT": "https://logs.example.org/in",
        "GENERIC_LOGGER_HEADERS": SecretStr(SECRETS["HEADERS"]),
    }
    assert not any(name.startswith("OTEL_TRACES") for name in environment_part(told(otel_endpoint="http://c:4318")))


def test_every_variable_that_is_set_is_known_as_ours() -> None:
    everything = told(
        slack_webhook="env:SLACK",
        alert_webhook="env:HOOK",
        otel_endpoint="http://collector.example.org:4318",
        otel_headers="env:HEADERS",
        otel_sample_ratio=0,
        log_sink="https://logs.example.org/in",
        log_sink_headers="env:HEADERS",
    )
    assert set(environment_part(everything)) == set(VARIABLES)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "8.8.8.8", "2a00:1450::1"])
def test_metrics_are_never_served_where_anyone_can_ask(address: str) -> None:
    assert refused(metrics_listen=address) == (
        "litellm_metrics_listen: metrics need no key, so they are not served where anyone can ask; "
        f"give a private address (given: '{address}')"
    )


def test_metrics_are_served_on_a_private_address_and_asked_for_there() -> None:
    here = single(litellm_metrics_listen="10.0.0.5", litellm_metrics_port=9100)
    s = here.settings(LitellmSettings)
    unit = by_path(LITELLM, here)["/etc/systemd/system/litellm-metrics.service"].text
    assert "/litellm-metrics.py 10.0.0.5 9100 /run/litellm/prometheus\n" in unit
    # Without it the next run would take the port for somebody else's.
    assert [(one.port, one.unit) for one in litellm_metrics.listeners(s)] == [(9100, "litellm-metrics.service")]
    assert "User=litellm" in unit and "EnvironmentFile" not in unit, "it has no secret to give away"
    first, second = litellm_metrics.probes(s)
    assert "http://10.0.0.5:9100/metrics" in first.command and second.command.endswith("grep -x '10.0.0.5'")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"slack_webhook": "env:BAD_URL"},
            "litellm_slack_webhook: is not an address that begins with https:// or http://",
        ),
        (
            {"otel_headers": "env:BAD_HEADERS"},
            "litellm_otel_headers: is not a list of name=value with commas between (and none in a value)",
        ),
        (
            {"log_sink_headers": "env:COMMA"},
            "litellm_log_sink_headers: is not a list of name=value with commas between (and none in a value)",
        ),
        (
            {"otel_protocol": "grpc"},
            "litellm_otel_protocol: needs grpcio, which the hash-locked set leaves out; collectors take http/protobuf "
            "too, on port 4318 (given: 'grpc')",
        ),
        (
            {"metrics_listen": "localhost:1"},
            "litellm_metrics_listen: must be an IP address, such as 10.0.0.5 or fd00::5 (given: 'localhost:1')",
        ),
        ({"metrics_listen": "10.0.0"}, "litellm_metrics_listen: is not an IP address (given: '10.0.0')"),
        (
            {"log_level": "DEBUG"},
            "litellm_log_level: Input should be 'WARNING', 'ERROR' or 'INFO' (given: 'DEBUG')",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_its_key(data: dict[str, Any], sentence: str) -> None:
    assert refused(**data) == sentence


@pytest.mark.parametrize("kind", DEAD_ALERTS)
def test_an_alert_that_litellm_never_sends_is_refused(kind: str) -> None:
    assert refused(alert_types=["llm_too_slow", kind]) == (
        f"litellm_alert_types[1]: {kind} would never be sent: {DEAD_ALERTS[kind]} (given: '{kind}')"
    )


def test_what_does_not_go_together_is_refused() -> None:
    s = told(metrics_port=4100, alert_webhook="env:HOOK", alerting_threshold=600, otel_headers="env:HEADERS")
    assert litellm_observability.problems(s, port=4100, request_timeout=600) == [
        "litellm_metrics_port: 4100 is the gateway's own port (litellm_port)",
        "litellm_alerting_threshold: 600 seconds are never reached, because a request ends after 600 "
        "(litellm_request_timeout)",
        "litellm_otel_headers: is not used without litellm_otel_endpoint",
    ]
    assert litellm_observability.problems(told(alerting_threshold=600), port=4100, request_timeout=600) == []


def test_the_metrics_program_outlives_the_gateways_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """prometheus_client is in the gateway's environment only; what it gets of the program is looked at here."""

    class Collector:
        def __init__(self, registry: object, path: str) -> None:
            self.path = path

        def collect(self) -> list[str]:
            return [self.path]

    names = {
        "prometheus_client": {"CollectorRegistry": object, "start_http_server": None},
        "prometheus_client.metrics_core": {"Metric": object},
        "prometheus_client.multiprocess": {"MultiProcessCollector": Collector},
    }
    for name, attributes in names.items():
        module = types.ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("metrics", ROOT / "payload" / "litellm" / "metrics.py")
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    workers = program.Workers(tmp_path / "prometheus")
    assert workers.collect() == []
    (tmp_path / "prometheus").mkdir()
    assert workers.collect() == [str(tmp_path / "prometheus")]
