"""What the gateway tells: logs, metrics, traces, alerts, a log sink, and what is kept out of all of them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from deploys.components.litellm.addresses import http_collector, without_user
from deploys.lib.patterns import IP, SECRET_URL, URL
from deploys.lib.settings import Port, Secret, Settings

# Where each destination's address stands in the environment file; the probe's timers read it there too.
SLACK, WEBHOOK = "SLACK_WEBHOOK_URL", "ALERTING_WEBHOOK_URL"
# Variables that come from these settings, so they cannot be set beside them.
VARIABLES = (
    *("LITELLM_LOG", SLACK, WEBHOOK, "GENERIC_LOGGER_ENDPOINT", "GENERIC_LOGGER_HEADERS"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"),
    *("OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
)
# AlertType of litellm/types/integrations/slack_alerting.py has these too; why 1.106.2 never sends them here.
DEAD_ALERTS = {
    "cooldown_deployment": "no code of LiteLLM sends it; outage_alerts tells of a failing deployment",
    "fallback_reports": "it is made from a Prometheus server's answers, which the gateway is not told of",
    "user_spend_thresholds": "it needs amounts of money that are not set here; budget_alerts tells of budgets",
    "new_model_added": "it is sent for models in the database; Portcullis' models are in the configuration",
    "region_outage_alerts": "it needs regions, which the entries here do not have; use outage_alerts",
}


def _alert(value: object) -> object:
    if isinstance(value, str) and value in DEAD_ALERTS:
        raise ValueError(f"{value} would never be sent: {DEAD_ALERTS[value]}")
    return value


def _protocol(value: object) -> object:
    if value in ("grpc", "otlp_grpc"):
        raise ValueError(
            "needs grpcio, which the hash-locked set leaves out; collectors take http/protobuf too, on port 4318"
        )
    return value


AlertType = Annotated[
    Literal[
        "llm_exceptions",
        "llm_too_slow",
        "llm_requests_hanging",
        "budget_alerts",
        "spend_reports",
        "failed_tracking_spend",
        "user_spend_anomalies",
        "db_exceptions",
        "daily_reports",
        "model_deprecation_warnings",
        "outage_alerts",
    ],
    BeforeValidator(_alert),
]


class ObservabilitySettings(Settings):
    """Logs, metrics, traces and alerts."""

    log_level: Literal["WARNING", "ERROR", "INFO"] = Field(
        "WARNING", description="LiteLLM's log level. DEBUG is refused: four times the CPU, and prompts in the journal."
    )
    json_logs: bool = Field(True, description="LiteLLM's own log lines as JSON; gunicorn's lines stay plain text.")
    log_messages: bool = Field(
        False,
        description="Let prompts and answers into traces and the log sink. They stay out of exceptions and alerts.",
    )
    include_call_id_in_error_body: bool = Field(
        True,
        description="Name the request in an error's body (`error.litellm_call_id`) as well as in the header "
        "`x-litellm-call-id`, which every answer has. A client's own `x-litellm-call-id` is kept.",
    )
    metrics: bool = Field(True, description="Prometheus metrics, summed over all workers. They need no licence.")
    metrics_listen: str = Field(
        "127.0.0.1",
        pattern=IP,
        description="Address to serve metrics on. They need no key there, so it is one of this host's private "
        "addresses, never all of them; `/metrics` on the gateway's own port needs a key.",
    )
    metrics_port: Port = Field(4101, description="TCP port to serve metrics on.")
    otel_endpoint: str | None = Field(
        None,
        pattern=URL,
        description="OpenTelemetry collector to send traces to, such as `http://collector.example.org:4318`. The "
        "caller's `traceparent` is the parent of the gateway's spans.",
    )
    otel_protocol: Annotated[Literal["http/protobuf"], BeforeValidator(_protocol)] = Field(
        "http/protobuf", description="How traces are sent."
    )
    otel_headers: Secret | None = Field(
        None, description="Headers for the collector, `name=value` with commas between, as a reference."
    )
    otel_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of requests that are traced. A caller's own decision goes first."
    )
    forward_traceparent: bool = Field(False, description="Send the caller's `traceparent` on to the models' servers.")
    slack_webhook: Secret | None = Field(
        None, description="Slack's incoming webhook that alerts are sent to, as a reference."
    )
    alert_webhook: Secret | None = Field(
        None,
        description='Any other address that alerts are sent to, as JSON: `{"text": "..."}`, which Mattermost and '
        "Rocket.Chat understand. As a reference.",
    )
    alert_types: list[AlertType] = Field(
        [
            *("llm_too_slow", "llm_requests_hanging", "outage_alerts"),
            *("budget_alerts", "failed_tracking_spend", "db_exceptions"),
        ],
        min_length=1,
        description="What LiteLLM sends alerts about. `llm_exceptions` is one for every failed request.",
    )
    alerting_threshold: int = Field(
        300,
        ge=2,
        le=6000,
        description="Seconds (no count of errors) after which a request is slow or hanging.",
    )
    log_sink: str | None = Field(
        None,
        pattern=URL,
        description="Address that is sent records of all requests, as JSON lists.",
    )
    log_sink_headers: Secret | None = Field(
        None, description="Headers for the log sink, `name=value` with commas between, as a reference."
    )

    @field_validator("metrics_listen")
    @classmethod
    def _private(cls, value: str) -> str:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError("is not an IP address") from None
        if address.is_unspecified or address.is_global:
            raise ValueError("metrics need no key, so they are not served where anyone can ask; give a private address")
        return value

    @field_validator("otel_endpoint", "log_sink", mode="before")
    @classmethod
    def _user(cls, value: object, info: ValidationInfo) -> object:
        return without_user(value, f"litellm_{str(info.field_name).removesuffix('_endpoint')}_headers")

    _collector = field_validator("otel_endpoint")(http_collector)

    @field_validator("slack_webhook", "alert_webhook")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(SECRET_URL, value.get_secret_value()):
            raise ValueError("is not an address that begins with https:// or http://")
        return value

    @field_validator("otel_headers", "log_sink_headers")
    @classmethod
    def _headers(cls, value: SecretStr | None) -> SecretStr | None:
        # LiteLLM splits at commas and ends at a part without an equals sign; others it drops in silence.
        for part in value.get_secret_value().split(",") if value else ():
            if not re.fullmatch(r"[A-Za-z0-9_-]+=[\x20-\x7e]+", part):
                raise ValueError("is not a list of name=value with commas between (and none in a value)")
        return value


def destinations(s: ObservabilitySettings) -> dict[str, SecretStr]:
    """Addresses that alerts are sent to, by the variable LiteLLM reads each from."""
    found = {SLACK: s.slack_webhook, WEBHOOK: s.alert_webhook}
    return {name: url for name, url in found.items() if url is not None}


def litellm_settings_part(s: ObservabilitySettings) -> dict[str, Any]:
    """The part of ``litellm_settings`` about what the gateway tells."""
    made: dict[str, Any] = {
        "turn_off_message_logging": not s.log_messages,
        # Without it an alert has the prompt in it, whatever the setting above says.
        "redact_messages_in_exceptions": True,
    }
    if s.json_logs:
        made["json_logs"] = True
    wanted = {"prometheus": s.metrics, "otel": bool(s.otel_endpoint), "generic_api": bool(s.log_sink)}
    if any(wanted.values()):
        made["callbacks"] = [name for name, on in wanted.items() if on]
    if s.metrics:
        # Latencies of Redis and the database. And a key for /metrics on the gateway's own port, whatever the default.
        made |= {"service_callback": ["prometheus_system"], "require_auth_for_metrics_endpoint": True}
    if s.forward_traceparent:
        made["forward_traceparent_to_llm_provider"] = True
    return made


def general_settings_part(s: ObservabilitySettings) -> dict[str, Any]:
    """The part of ``general_settings`` about alerts and request ids."""
    made: dict[str, Any] = {"include_call_id_in_error_body": s.include_call_id_in_error_body}
    where = destinations(s)
    if not where:
        return made
    # `slack` is a form, {"text": ...}, and not a place. LiteLLM's own `webhook` sends budget alerts only.
    made |= {"alerting": ["slack"], "alerting_threshold": s.alerting_threshold, "alert_types": list(s.alert_types)}
    if len(where) > 1:
        # One variable would win over the other.
        made["alert_to_webhook_url"] = {kind: [f"os.environ/{name}" for name in where] for kind in s.alert_types}
    return made


def environment_part(s: ObservabilitySettings) -> dict[str, str | SecretStr]:
    """Variables of the environment file about what the gateway tells."""
    made: dict[str, str | SecretStr] = {"LITELLM_LOG": s.log_level, **destinations(s)}
    if s.otel_endpoint:
        made |= {
            "OTEL_EXPORTER_OTLP_PROTOCOL": s.otel_protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": s.otel_endpoint,
            "OTEL_SERVICE_NAME": "litellm",
        }
        if s.otel_headers:
            made["OTEL_EXPORTER_OTLP_HEADERS"] = s.otel_headers
        if s.otel_sample_ratio < 1:
            made["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
            made["OTEL_TRACES_SAMPLER_ARG"] = str(s.otel_sample_ratio)
    if s.log_sink:
        made["GENERIC_LOGGER_ENDPOINT"] = s.log_sink
        if s.log_sink_headers:
            made["GENERIC_LOGGER_HEADERS"] = s.log_sink_headers
    return made


def problems(s: ObservabilitySettings, port: int, request_timeout: int) -> list[str]:
    """What does not go together with the gateway's ``port`` and its ``request_timeout`` in seconds."""
    found = []
    if s.metrics and s.metrics_port == port:
        found.append(f"litellm_metrics_port: {port} is the gateway's own port (litellm_port)")
    if destinations(s) and s.alerting_threshold >= request_timeout:
        found.append(
            f"litellm_alerting_threshold: {s.alerting_threshold} seconds are never reached, because a request ends "
            f"after {request_timeout} (litellm_request_timeout)"
        )
    for given, needed in (("otel_headers", "otel_endpoint"), ("log_sink_headers", "log_sink")):
        if getattr(s, given) and not getattr(s, needed):
            found.append(f"litellm_{given}: is not used without litellm_{needed}")
    return found
