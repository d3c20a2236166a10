"""Addresses that records and traces are sent to: no secret in them, and a port that answers."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError


def without_user(value: object, headers: str) -> object:
    """``value``, unless it has a user in it: the sentence then points to ``headers`` and does not show what was given.

    Such an address would be in messages, in the log and in every list of settings, as it is no reference.
    """
    if isinstance(value, str) and "@" in value:
        why = f"has a user name or a password in it (@); give what it asks for as {headers}, a reference"
        raise PydanticCustomError("missing", "{why}", {"why": why})
    return value


def http_collector(value: str | None) -> str | None:
    """``value``, unless it is the port on which collectors speak gRPC: every export would fail, in the log only."""
    if value is not None and ":4317" in urlsplit(value).netloc:
        raise ValueError("port 4317 is for gRPC; traces are sent as http/protobuf, which goes to port 4318")
    return value
