"""The table of proofs: for every setting of the gateway the test that shows that a running program acts on it."""

from __future__ import annotations

from collections.abc import Mapping

from deploys.components.litellm.bootstrap import Team, VirtualKey
from deploys.components.litellm.catalogue import ModelEntry
from deploys.components.litellm.routing import Alias
from deploys.components.litellm.settings import LitellmSettings
from deploys.lib.settings import Settings

Proofs = Mapping[str, str]
WIRE, ROUTING = "lab/test_litellm_wire", "lab/test_litellm_routing"
BOUNDS, TELLS = "lab/test_litellm_bounds", "lab/test_litellm_tells"
BASE, HOST, CHANGES, REFUSALS = "host/test_base", "host/test_litellm", "host/lab/test_changes", "host/lab/test_refusals"
CATALOGUE, RELIABILITY, SEEN = (f"host/lab/test_{name}" for name in ("catalogue", "reliability", "observability"))
STATE, LAVISH, KEYS, DEPLOY = (f"host/lab/test_{name}" for name in ("state", "lavish", "keys", "deploy"))
WRITTEN = "test_spend_is_written_after_proxy_batch_write_at_seconds_and_without_rows_where_spend_logs_is_off"

# By class: the tests, and the fields that each of them proves. A field may have several.
PROOFS: Mapping[type[Settings], Proofs] = {
    LitellmSettings: {
        f"{HOST}::test_is_alive_and_ready_with_its_database": "listen port",
        f"{HOST}::test_refuses_a_wrong_key": "master_key",
        f"{HOST}::test_a_stored_credential_is_encrypted": "salt_key",
        f"{HOST}::test_every_worker_finished_starting": "workers",
        f"{HOST}::test_lists_exactly_the_declared_models": "models",
        f"{SEEN}::test_the_host_says_what_made_its_files": "version",
        f"{DEPLOY}::test_a_bare_host_is_deployed_in_one_run": "prisma_engine_runtime",
        f"{REFUSALS}::test_prismas_engines_out_of_reach": "prisma_mirror",
        # The API's objects, and questions from time to time.
        f"{KEYS}::test_a_teams_rpm_limit_is_for_all_its_keys_together": "teams",
        f"{KEYS}::test_a_key_may_make_as_many_requests_a_minute_as_its_rpm_limit": "keys",
        f"{SEEN}::test_a_probe_alerts_once_when_the_cache_is_away_and_once_when_it_is_back": "probe_interval_seconds "
        "probe_failures",
        f"{STATE}::test_probe_models_are_asked_by_the_timer": "probe_models",
        # What is told.
        f"{TELLS}::test_log_level_says_what_is_logged": "log_level",
        f"{TELLS}::test_json_logs_are_json_and_others_are_not": "json_logs",
        f"{TELLS}::test_a_requests_id_is_in_an_errors_body_with_include_call_id_in_error_body_only": ""
        "include_call_id_in_error_body",
        f"{SEEN}::test_metrics_add_up_over_the_workers": "metrics metrics_port",
        f"{SEEN}::test_metrics_need_a_key_on_the_gateways_own_port_and_are_private_on_theirs": "metrics_listen",
        f"{SEEN}::test_a_trace_has_the_callers_id": "otel_endpoint",
        f"{TELLS}::test_traces_are_sent_with_otel_headers_by_otel_protocol_for_a_share_of_requests": "otel_protocol "
        "otel_headers otel_sample_ratio",
        f"{TELLS}::test_with_otel_sample_ratio_1_every_request_is_traced": "otel_sample_ratio",
        f"{TELLS}::test_a_callers_traceparent_is_sent_on_with_forward_traceparent_only": "forward_traceparent",
        f"{SEEN}::test_a_slow_request_is_an_alert_in_seconds_at_every_destination": "slack_webhook alert_webhook "
        "alerting_threshold",
        f"{TELLS}::test_only_what_alert_types_name_is_an_alert": "alert_types",
        f"{SEEN}::test_the_log_sink_gets_records_without_prompts": "log_sink",
        f"{TELLS}::test_the_log_sink_gets_records_with_its_headers_tags_prices_and_with_log_messages_prompts": ""
        "log_sink_headers log_messages",
        # What is kept in the database and in Redis.
        f"{STATE}::test_connections_stay_within_the_pools_of_each_worker": "database_connection_pool_limit "
        "redis_max_connections",
        f"{STATE}::test_a_request_waits_database_connection_timeout_seconds_for_a_connection": ""
        "database_connection_timeout",
        f"{STATE}::test_spend_is_not_written_before_proxy_batch_write_at_seconds": "proxy_batch_write_at",
        f"{LAVISH}::{WRITTEN}": "proxy_batch_write_at spend_logs",
        f"{LAVISH}::test_rows_are_deleted_at_their_age_once_an_interval": "spend_logs_retention "
        "spend_logs_cleanup_interval health_check_retention",
        f"{STATE}::test_failed_requests_are_rows_with_error_logs_only": "error_logs",
        f"{LAVISH}::test_allow_requests_on_db_unavailable_keeps_the_gateway_ready": "allow_requests_on_db_unavailable",
        f"{LAVISH}::test_use_redis_transaction_buffer_lets_one_worker_write_for_all": "use_redis_transaction_buffer",
        f"{LAVISH}::test_without_a_cache_nothing_is_cached_and_limits_hold_all_the_same": "cache_mode",
        f"{STATE}::test_without_cache_mode_every_question_and_only_for_cache_ttl_seconds": "cache_mode cache_ttl "
        "cache_namespace",
        f"{STATE}::test_only_answers_of_cache_call_types_are_cached": "cache_call_types",
        f"{STATE}::test_more_messages_than_cache_max_messages_are_not_cached": "cache_max_messages",
        # Which model is asked.
        f"{ROUTING}::test_simple_shuffle_goes_by_weight": "routing_strategy",
        f"{ROUTING}::test_least_busy_takes_the_one_with_the_fewest_requests_in_flight": "routing_strategy",
        f"{ROUTING}::test_latency_based_routing_takes_the_faster_one": "routing_strategy",
        f"{ROUTING}::test_cost_based_routing_takes_the_cheaper_one": "routing_strategy",
        f"{ROUTING}::test_usage_based_routing_takes_the_one_with_fewer_tokens_this_minute": "routing_strategy",
        f"{CATALOGUE}::test_groups_have_other_names_and_a_hidden_one_is_not_listed": "groups",
        f"{ROUTING}::test_pre_call_checks_keep_a_prompt_from_a_model_whose_context_window_it_exceeds": ""
        "enable_pre_call_checks",
        f"{ROUTING}::test_enforced_limits_of_tokens_and_requests_answer_429": "enforce_model_rate_limits",
        f"{RELIABILITY}::test_more_requests_than_the_models_limit_are_429_on_all_workers_together": ""
        "enforce_model_rate_limits",
        f"{ROUTING}::test_with_tag_routing_a_requests_tags_choose_an_entry": "tag_routing",
        f"{RELIABILITY}::test_a_failing_group_is_tried_again_and_then_answered_by_its_fallback": "fallbacks",
        f"{RELIABILITY}::test_a_prompt_that_is_too_long_goes_to_the_larger_model": "context_window_fallbacks",
        f"{RELIABILITY}::test_a_refused_prompt_goes_to_the_fallback_for_that": "content_policy_fallbacks",
        f"{ROUTING}::test_a_group_without_a_list_of_its_own_falls_back_on_the_default_one": "default_fallbacks",
        f"{ROUTING}::test_without_retries_a_failing_model_is_asked_once": "num_retries",
        f"{ROUTING}::test_the_retry_policy_counts_for_every_kind_of_error": "retry_policy",
        f"{RELIABILITY}::test_a_deployment_that_fails_is_left_alone_and_asked_again_later": "cooldown_time",
        f"{ROUTING}::test_without_cooldowns_a_failing_deployment_is_asked_on": "cooldowns",
        f"{ROUTING}::test_the_allowed_fails_policy_counts_for_every_kind_of_error": "allowed_fails_policy",
        # How long, and how much.
        f"{BOUNDS}::test_a_health_check_asks_entries_with_health_check_only_and_waits_as_long_as_they_say": ""
        "health_check_timeout",
        f"{BOUNDS}::test_request_timeout_is_for_models_without_a_timeout_of_their_own": "request_timeout",
        f"{BOUNDS}::test_stream_timeout_is_the_longest_silence_within_a_stream": "stream_timeout",
        f"{RELIABILITY}::test_health_checks_ask_what_they_may_and_nothing_that_costs": "background_health_checks "
        "health_check_interval",
        f"{BOUNDS}::test_background_health_checks_are_no_more_at_a_time_than_health_check_concurrency": ""
        "health_check_concurrency",
        f"{BOUNDS}::test_max_parallel_requests_are_the_entrys_own_or_those_of_local_models": "max_parallel_requests",
        f"{STATE}::test_max_parallel_requests_is_for_each_local_model_and_worker": "max_parallel_requests",
        f"{LAVISH}::test_a_stop_gives_running_requests_drain_timeout_seconds": "drain_timeout",
        f"{LAVISH}::test_workers_are_renewed_after_max_requests_and_no_request_is_lost": "recycle max_requests",
        f"{LAVISH}::test_recycle_calendar_renews_the_workers_and_nobody_notices": "recycle recycle_calendar",
        f"{KEYS}::test_spend_begins_at_nothing_again_after_the_budget_duration": "environment",
    },
    ModelEntry: {
        f"{WIRE}::test_a_provider_is_sent_what_it_understands": "name provider mode model api_base api_key api_version "
        "keep_alive num_ctx",
        f"{WIRE}::test_no_request_logs_a_model_without_a_price": "base_model",
        f"{ROUTING}::test_pre_call_checks_keep_a_prompt_from_a_model_whose_context_window_it_exceeds": "context_window",
        f"{BOUNDS}::test_clients_are_told_an_entrys_context_window_and_longest_answer": "max_output_tokens",
        f"{ROUTING}::test_enforced_limits_of_tokens_and_requests_answer_429": "rpm tpm",
        f"{BOUNDS}::test_max_parallel_requests_are_the_entrys_own_or_those_of_local_models": "max_parallel_requests",
        f"{RELIABILITY}::test_a_slow_model_times_out_and_a_silent_stream_ends": "timeout stream_timeout",
        f"{ROUTING}::test_simple_shuffle_goes_by_weight": "weight",
        f"{ROUTING}::test_entries_with_a_lower_order_are_asked_first_and_others_when_those_fail": "order",
        f"{ROUTING}::test_with_tag_routing_a_requests_tags_choose_an_entry": "tags",
        f"{BOUNDS}::test_an_answer_has_the_deployments_id_and_its_cost_at_the_entrys_prices": "input_cost_per_token "
        "output_cost_per_token id",
        f"{BOUNDS}::test_a_health_check_asks_entries_with_health_check_only_and_waits_as_long_as_they_say": ""
        "health_check health_check_timeout",
    },
    Alias: {f"{CATALOGUE}::test_groups_have_other_names_and_a_hidden_one_is_not_listed": "model hidden"},
    Team: {
        f"{KEYS}::test_only_the_models_of_a_key_and_of_its_team_can_be_used": "models",
        f"{KEYS}::test_a_teams_max_budget_is_for_all_its_keys_together": "max_budget budget_duration",
        f"{KEYS}::test_a_teams_rpm_limit_is_for_all_its_keys_together": "rpm_limit",
        f"{KEYS}::test_tokens_beyond_the_tpm_limit_are_refused": "tpm_limit",
        f"{KEYS}::test_what_is_blocked_is_refused_whatever_it_asks": "blocked",
    },
    VirtualKey: {
        f"{KEYS}::test_only_the_models_of_a_key_and_of_its_team_can_be_used": "models team",
        f"{KEYS}::test_a_key_is_refused_when_its_max_budget_is_spent": "max_budget",
        f"{KEYS}::test_spend_begins_at_nothing_again_after_the_budget_duration": "budget_duration",
        f"{KEYS}::test_a_key_may_make_as_many_requests_a_minute_as_its_rpm_limit": "rpm_limit value",
        f"{KEYS}::test_tokens_beyond_the_tpm_limit_are_refused": "tpm_limit",
        f"{KEYS}::test_what_is_blocked_is_refused_whatever_it_asks": "blocked",
        f"{KEYS}::test_a_key_is_refused_when_its_duration_is_over": "duration",
        f"{KEYS}::test_max_parallel_requests_of_a_key_holds_over_all_workers": "max_parallel_requests",
    },
}
# What stands in a test or its settings for a field that keeps its default there.
WORDS = {
    "listen": "base_url", "port": "base_url", "salt_key": "credential_values", "version": "1.106.2",
    "metrics": "4101", "metrics_port": "4101", "metrics_listen": "4101",
}  # fmt: skip
_ENGINES = "where the installation takes Prisma's engines from instead of a mirror; LiteLLM is not told"
NOT_SHOWN: Mapping[type[Settings], Mapping[str, str]] = {
    LitellmSettings: {
        "routing_strategy_acknowledged": "Portcullis asks for it, and LiteLLM is not told",
        "allow_requests_on_db_unavailable_acknowledged": "Portcullis asks for it, and LiteLLM is not told",
        "proxy_read_timeout": "what a proxy in front is told; nothing of the gateway reads it",
        "probe_timeout_seconds": "our own program reads it, which tests/unit/test_litellm_probe.py runs",
        "image": "no registry with LiteLLM's own image can be reached; tests/unit/test_images.py renders it",
        **{f"prisma_{kind}_engine{end}": _ENGINES for kind in ("query", "schema") for end in ("", "_sha256")},
    },
}
