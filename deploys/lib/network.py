"""The network of a site: what its hosts listen on, what they ask elsewhere, and addresses that cannot be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from deploys.lib.component import Component, Here, Member, Traffic

DEFAULT_PORTS = {"http": 80, "https": 443}
# Addresses of a link alone, where clouds hand out a machine's credentials to whoever asks, and groups of receivers.
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
CLOSED = (*LINK_LOCAL, "224.0.0.0/4", "ff00::/8")


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of ``url``, or of a registry as ``NAME:PORT/...``; the port is 0 where none can be told.

    A text that is no address has neither. What is wrong with it is never told here: it may be a secret.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url.partition('@')[0]}")
    except ValueError:
        return "", 0
    try:
        return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return parts.hostname or "", 0


def urls_in(value: Any) -> Iterator[str]:
    """Every address of the web in settings, however deep. One in a secret may be asked too; its path is left out."""
    if isinstance(value, SecretStr):
        for url in urls_in(value.get_secret_value()):
            host, port = endpoint(url)
            if host:
                yield f"{url.partition(':')[0]}://{f'[{host}]' if ':' in host else host}:{port}"
    elif isinstance(value, str):
        if value.startswith(("http://", "https://")):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from urls_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from urls_in(inner)


def with_network(site: tuple[Member, ...], components: tuple[Component, ...]) -> tuple[Member, ...]:
    """``site`` with what its hosts listen on and ask, which a component may have to know of all others."""

    def known(member: Member) -> Member:
        here = Here(member, site)
        traffic = [
            Traffic(one.name, tuple(one.listeners(here)), tuple(one.reaches(here)), one.confined)
            for one in components
            if member.has(one.name)
        ]
        named = [url for settings in member.settings.values() for url in urls_in(settings.model_dump())]
        return replace(member, traffic=tuple(traffic), named=tuple(dict.fromkeys(named)))

    return tuple(known(member) for member in site)


def _without(whole: str, parts: Iterable[str]) -> str:
    """The network ``whole`` without ``parts`` of it, in networks as systemd writes them."""
    left: list[Any] = [ipaddress.ip_network(whole)]
    for part in map(ipaddress.ip_network, parts):
        if part.version == left[0].version:
            left = [one for net in left for one in (net.address_exclude(part) if part.subnet_of(net) else [net])]
    return " ".join(map(str, sorted(left)))


def routable(here: Here) -> list[str]:
    """Whom a service that serves and asks whomever it is told has to do with, for systemd's IPAddressAllow=.

    Everybody but CLOSED: the address that gives a machine's credentials is what somebody asks for who makes the
    gateway fetch a picture. Of a link's own addresses those stay open that this host needs: its name servers, the
    hosts of the site, and what its settings name.
    """
    member = here.member
    needed = [*member.name_servers, *(one.address for one in here.site), *(endpoint(url)[0] for url in member.named)]
    links = [ipaddress.ip_network(one) for one in LINK_LOCAL]
    open_links = set()
    for text in needed:
        try:
            address = ipaddress.ip_address((text or "").partition("%")[0])
        except ValueError:
            continue  # a name
        if any(address in link for link in links):
            open_links.add(str(address))
    found = [_without("0.0.0.0/0", CLOSED), _without("::/0", CLOSED), " ".join(sorted(open_links))]
    return [line for line in found if line]


def address_problems(spread: list[Member]) -> list[str]:
    """Addresses under which the hosts of a spread-out gateway would reach themselves, or one another's neighbour."""
    problems = []
    for address in dict.fromkeys(member.address for member in spread if member.address):
        names = [member.name for member in spread if member.address == address]
        place = ipaddress.ip_address(address)
        if place.is_loopback or place.is_unspecified:
            problems.append(
                f"{', '.join(names)}: private_address: {address} leads every other host to itself; set the address "
                "the others reach it under"
            )
        elif len(names) > 1:
            problems.append(f"{', '.join(names)}: private_address: {address} is the address of more than one host")
    return problems


def port_problems(member: Member) -> list[str]:
    """Ports that two settings of one host give to two services: the second one would not start."""
    wanted: dict[int, list[str]] = {}
    for traffic in member.traffic:
        for listener in traffic.listeners:
            wanted.setdefault(listener.port, []).append(listener.setting)
    return [
        f"{member.name}: {' and '.join(settings)} are both {port}; give each a port of its own"
        for port, settings in wanted.items()
        if len(set(settings)) > 1
    ]
