"""How long everything may take, in one order: health check, request, stream, stop, and the proxy in front.

What each of them really is in LiteLLM 1.106.2 under gunicorn 23 (all of it measured):

- ``request_timeout`` ends one try of a call that is not streamed, with 408. A fallback begins a new try.
- ``stream_timeout`` takes its place for streamed calls, longer or shorter: it bounds the silence before the first
  piece and between two pieces, never the length of an answer. So neither has to be below the other.
- gunicorn's worker timeout, fixed at 600 s, ends a worker whose event loop stands still. It bounds no request: with a
  worker timeout of 3 s a request of 9 s is answered. There is nothing to keep below it.
- At a stop or restart gunicorn gives requests ``drain_timeout``, then cuts them off; at a reload it lets them end, for
  half an hour (litellm_serving.py), so that a client which takes nothing does not keep a worker for ever.
- A proxy in front sees silence for as long as all tries together take, and must wait longer than that.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from deploys.components.litellm.fallbacks import MAX_HOPS, compiled
from deploys.components.litellm.retries import RetrySettings, retry_policy
from deploys.components.litellm.routing import Group

# systemd kills what is left this many seconds after requests were given up.
STOP_MARGIN = 15
# What a proxy in front waits beyond the gateway, so that the gateway's own error is the one that clients see.
PROXY_MARGIN = 10


class TimeoutSettings(RetrySettings):
    """Seconds, from the shortest to the longest."""

    health_check_timeout: int = Field(
        30, ge=1, le=600, description="Seconds a health check of a model may take; a model's entry may differ."
    )
    request_timeout: int = Field(600, ge=1, le=6000, description="Seconds a request to a model may take.")
    stream_timeout: int = Field(300, ge=1, le=6000, description="Seconds between two pieces of a streamed answer.")
    drain_timeout: int = Field(
        30,
        ge=1,
        le=6000,
        description="Seconds that running requests get when the gateway is stopped or restarted; systemd waits "
        f"{STOP_MARGIN} longer. A reload lets them go on for half an hour.",
    )
    proxy_read_timeout: int | None = Field(
        None,
        ge=1,
        le=86_400,
        description="Seconds a proxy in front waits for the next byte (nginx: `proxy_read_timeout`). Default: the "
        "longest silence of the gateway, which is all tries of a request together.",
    )

    @model_validator(mode="after")
    def _timeout_ladder(self) -> TimeoutSettings:
        if self.health_check_timeout >= self.request_timeout:
            raise ValueError(
                f"litellm_health_check_timeout: {self.health_check_timeout} s is not below litellm_request_timeout, "
                f"{self.request_timeout} s; a check must not wait longer than the requests it speaks for"
            )
        return self


def stop_seconds(s: TimeoutSettings) -> int:
    """What systemd waits at a stop: longer than the requests get."""
    return s.drain_timeout + STOP_MARGIN


def longest_silence(s: TimeoutSettings, groups: Mapping[str, Group]) -> tuple[int, str]:
    """Seconds in which a client may hear nothing, and the sum: every try of the longest chain ends in a timeout.

    Other errors end a try early, as a rule; a timeout is the one that takes all of it.
    """
    chains = compiled(s, groups).get("fallbacks", {})
    tried = max((len(_reached(chains, name)) for name in chains), default=1)
    tries = 1 + retry_policy(s)["TimeoutErrorRetries"]
    longest = max(s.request_timeout, s.stream_timeout)
    which = "litellm_request_timeout" if longest == s.request_timeout else "litellm_stream_timeout"
    total = longest * tries * tried
    return total, f"{which} {longest} x {tries} {'try' if tries == 1 else 'tries'} x {tried} model group(s) = {total} s"


def _reached(chains: Mapping[str, list[str]], name: str) -> list[str]:
    """Every group that a request for ``name`` may be sent to, itself included."""
    reached = [name]
    for _ in range(MAX_HOPS):
        new = [target for group in reached for target in chains.get(group, []) if target not in reached]
        reached += dict.fromkeys(new)
    return reached


def read_timeout(s: TimeoutSettings, groups: Mapping[str, Group]) -> int:
    """What the proxy in front must be told."""
    return s.proxy_read_timeout or longest_silence(s, groups)[0] + PROXY_MARGIN


def timeout_problems(s: TimeoutSettings, groups: Mapping[str, Group]) -> list[str]:
    """What is wrong with the order of the timeouts, given the model groups and their fallbacks."""
    silence, total = longest_silence(s, groups)
    if s.proxy_read_timeout is None or s.proxy_read_timeout > silence:
        return []
    return [
        f"litellm_proxy_read_timeout: {s.proxy_read_timeout} s is not above the longest silence of the gateway, "
        f"{total}; clients would see the proxy's 504 while the gateway still works for them"
    ]
