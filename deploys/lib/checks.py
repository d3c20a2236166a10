"""Validators that several components' settings share."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, field_validator

# What people paste from tutorials; a gateway with one of these is open to anyone who has read the same page.
WELL_KNOWN = (
    "sk-1234",
    "sk-1234567890abcdef",
    "password",
    "litellm",
    "changeme",
    "postgres",
    "dbpassword9090",
    "admin",
)


def weakness(value: str, minimum: int) -> str:
    """Why ``value`` is too weak for a secret of at least ``minimum`` characters; empty when it is not."""
    if value.lower() in WELL_KNOWN or value.lower().removeprefix("sk-") in WELL_KNOWN:
        return "is a well-known default"
    if len(value) < minimum:
        return f"has {len(value)} characters and needs at least {minimum}"
    if len(set(value)) < 8:
        return "repeats too few different characters"
    return ""


def long_enough(*fields: str, minimum: int) -> Any:
    """A validator that refuses weak values of the secret ``fields``, without repeating them."""

    def check(value: SecretStr) -> SecretStr:
        if why := weakness(value.get_secret_value(), minimum):
            raise ValueError(f"{why}; `make secrets` makes strong values")
        return value

    return field_validator(*fields)(check)


def ip_addresses(*fields: str) -> Any:
    """A validator that refuses what is not an IP address in ``fields``: one address, a list of them, or None."""

    def check(value: str | list[str] | None) -> str | list[str] | None:
        if value == []:
            raise ValueError("names no address")
        for address in [value] if isinstance(value, str) else value or []:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError(f"{address!r} is not an IP address") from None
        return value

    return field_validator(*fields)(check)


def out_of_reach(key: str, addresses: list[str], clients: list[str]) -> list[str]:
    """Why ``clients`` on other hosts cannot reach a service that listens on ``addresses`` only; empty when they can."""
    if clients and all(ipaddress.ip_address(address).is_loopback for address in addresses):
        return [
            f"{key}: {', '.join(addresses)} can be reached from this host only, and {', '.join(clients)} must reach it"
        ]
    return []


def unread_by_compose(values: Mapping[str, object]) -> list[str]:
    """Which of ``values``, by what people call them, Compose would read otherwise than they are; none is shown.

    In double quotes a shell and systemd drop the backslash before a backtick. Compose keeps it, and the service would
    get another password than the one it is compared with.
    """
    return [
        f"{name}: has a backtick, which Compose would hand on with a backslash before it; choose another value, or "
        'runtime = "systemd"'
        for name, value in values.items()
        if "`" in (value.get_secret_value() if isinstance(value, SecretStr) else str(value))
    ]
