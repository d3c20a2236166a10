"""Sites without pyinfra: one small host with everything, and a gateway spread over several hosts."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr
from pyinfra.connectors.ssh import SSHConnector

from deploys import operations, shipping
from deploys.components import COMPONENTS
from deploys.lib.bundle import Change
from deploys.lib.component import Component, ConfigFile, Here, Member
from deploys.lib.render import quote_conf, quote_env
from deploys.lib.secrets import read_secret
from deploys.lib.sizing import Machine
from deploys.lib.survey import HostData, survey
from deploys.lib.transaction import question
from tests.unit import certificates

# Strong, all different, and with the characters that quoting gets wrong; but for the one that containers refuse.
SECRETS = {
    "LITELLM_MASTER_KEY": "sk-master0123456789abcdef0123456789ab",
    "LITELLM_SALT_KEY": 'salt"0123456789$abcdef;01234\\56789ab',
    "POSTGRES_PASSWORD": "data/base p@ss'w$rd:0123",
    "POSTGRES_HEALTH_PASSWORD": 'health-"data"-0123456789',
    "REDIS_PASSWORD": "cache'pass $(word)-0123456",
    "REDIS_HEALTH_PASSWORD": "health-cache-0123456789",
    "BACKUPS_PASSPHRASE": "back # up=p@ss'wo$rd;0123",
    "BACKUPS_CONFIGURATION_PASSPHRASE": "configured $(p)assphrase'0123",
    "BACKUPS_TLS_SECRET": "between-hosts-0123456789",
    "SITE_TLS_SECRET": "inside-the-site-0123456789",
    "SITE_TLS_SECRET_BEFORE": "before-that-one-0123456789",
}
# As the registry states them; given, so that nothing is asked over a network.
SIZES = {"llama3.2:3b": 2_019_393_189, "nomic-embed-text": 274_302_450}
COMMON: dict[str, Any] = {"preset": "small", "ollama_models_size_bytes": SIZES}
# What every host has unless a test says otherwise: enough for whatever is planned.
LARGE = Machine(256, 4_194_304)
ROLES = ("postgres", "redis", "ollama", "litellm")


def resolve(reference: str) -> SecretStr:
    """Secrets of these sites, whatever the environment of the tests has."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name in SECRETS:
        return SecretStr(SECRETS[name])
    return read_secret(reference, {}, "secrets/test.env")


def host(
    name: str,
    groups: tuple[str, ...] = ROLES,
    release: str = "13",
    measure: Machine | None = None,
    common: Mapping[str, Any] = COMMON,
    **data: Any,
) -> HostData:
    """One host as the inventory has it; ``data`` on top of the settings that all of them have."""
    return HostData(
        name=name,
        groups=groups,
        data={**common, **data},
        connector_keys=frozenset(SSHConnector.data_meta),
        resolve=resolve,
        measure=lambda: measure or LARGE,
        release=lambda: release,
    )


def look(*hosts: HostData) -> tuple[Member, ...]:
    return survey(hosts, COMPONENTS)


def single(**data: Any) -> Here:
    """One small host with every component."""
    site = look(host("gateway.example.org", **data))
    return Here(site[0], site)


@cache
def edge_data() -> Mapping[str, Any]:
    """Settings of an edge, whose certificate is made once and lies in a folder of its own."""
    return certificates.edge(Path(tempfile.mkdtemp(prefix="portcullis-tests-")))


def whole(**data: Any) -> Here:
    """One small host with every component, the edge before its gateway included."""
    settings = {**edge_data(), "litellm_listen": "127.0.0.1", **data}
    site = look(host("gateway.example.org", (*ROLES, "edge"), **settings))
    return Here(site[0], site)


def having(component: Component, **data: Any) -> Here:
    """One small host that has ``component``."""
    here = single(**data)
    return here if here.member.has(component.name) else whole(**data)


ADDRESSES = {
    "db": "192.0.2.10",
    "cache": "192.0.2.11",
    "llm": "192.0.2.12",
    "gw-1": "192.0.2.21",
    "gw-2": "192.0.2.22",
    "front": "192.0.2.31",
}
GROUP = {"db": "postgres", "cache": "redis", "llm": "ollama", "gw-1": "litellm", "gw-2": "litellm", "front": "edge"}


def split(addresses: Mapping[str, str] | None = None, **data: Any) -> tuple[Member, ...]:
    """A database, a cache, an Ollama and two gateways on hosts of their own, all with ``data``."""
    where = {**ADDRESSES, **(addresses or {})}
    return look(*(host(name, (GROUP[name],), private_address=where[name], **data) for name in GROUP if name != "front"))


def fronted(**data: Any) -> tuple[Member, ...]:
    """The same with an edge before the gateways, on a host of its own."""
    hosts = []
    for name, group in GROUP.items():
        own = {"litellm_listen": ADDRESSES[name], "health_listen": ADDRESSES[name]} if group == "litellm" else {}
        own |= edge_data() if group == "edge" else {}
        hosts.append(host(name, (group,), private_address=ADDRESSES[name], **{**own, **data}))
    return look(*hosts)


def place(site: tuple[Member, ...], name: str) -> Here:
    return Here(next(member for member in site if member.name == name), site)


def home(site: tuple[Member, ...], component: str) -> Here:
    """The first host of ``site`` that has ``component``."""
    return Here(next(member for member in site if member.has(component)), site)


def by_path(component: Component, here: Here) -> dict[str, Any]:
    return {item.path: item for item in (*component.files(here), *component.links(here))}


def spellings(value: str) -> set[str]:
    """Every way a secret's text may turn up: plain, quoted for a URL, an environment file, SQL."""
    return {value, quote(value, safe=""), quote_env(value)[1:-1], quote_conf(value)[1:-1]}


def recorded(component: Component, here: Here, monkeypatch: Any) -> list[tuple[str, dict[str, Any]]]:
    """The operations that ``component`` calls on ``here``, with their arguments, in order."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def record(operation: str) -> Any:
        return lambda **arguments: calls.append((operation, arguments))

    for name in ("packages", "step", "converge", "wait_until", "unless", "gate"):
        monkeypatch.setattr(operations, name, record(name))
    for name in ("ship", "pull"):
        monkeypatch.setattr(shipping, name, record(name))
    monkeypatch.setattr("pyinfra.operations.files.put", record("put"))
    component.install(here)
    for one in component.provisions(here):
        # As apply calls it.
        said = {"test": one.test, "command": one.command, "secret_stdin": one.stdin}
        calls.append(("unless", {"name": f"{component.name} | {one.name}", **said}))
    component.provision(here)
    return calls


def declared(component: Component, here: Here) -> Iterator[tuple[str, str]]:
    """Every text ``component`` declares beside its files' contents, with a word for where it stands."""
    for word, lines in (("check", component.check(here)), ("guard", component.guard(here))):
        for line in lines:
            yield word, line
    for one in component.provisions(here):
        yield f"provision {one.name}", one.name
        yield f"provision {one.name} test", one.test
        yield f"provision {one.name} command", one.command
    yield "ready", component.ready(here)
    yield "version", component.version(here)
    for kind in ("probes", "refusals", "remarks"):
        for probe in getattr(component, kind)(here):
            yield f"{kind.rstrip('s')} {probe.name}", probe.command
    for word in ("hints", "extra_units", "problems"):
        for text in getattr(component, word)(here):
            yield word, text
    if component.unit:
        yield "unit", component.unit(here)
    for listener in component.listeners(here):
        yield "listener", repr(dataclasses.astuple(listener))


def shown(component: Component, here: Here, monkeypatch: Any, closed: Callable[[str], bool]) -> list[str]:
    """Every text of ``component`` that others may see: all but the files whose paths are ``closed``."""
    texts = [text for _, text in declared(component, here)]
    texts += [repr(arguments) for _, arguments in recorded(component, here, monkeypatch)]
    items = (*component.files(here), *component.links(here))
    change = Change(component.name, items, check=tuple(component.check(here)), ready=component.ready(here))
    texts += [repr(change), question(change), repr(here)]
    return texts + [one.text for one in items if isinstance(one, ConfigFile) and not closed(one.path)]
