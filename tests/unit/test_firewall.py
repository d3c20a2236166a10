"""The firewall's rules as text: who may ask what, worked out from the inventory; what is refused before a change."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from deploys.components import COMPONENTS
from deploys.components.firewall import FIREWALL, NFTABLES, RULES, UNIT, rules
from deploys.components.firewall_rules import Rule, accounts, egress, held, ingress, matches
from deploys.components.firewall_settings import EVERYONE
from deploys.lib.apply import change_for
from deploys.lib.component import CLIENTS, MONITORS, Here
from deploys.lib.network import endpoint, urls_in
from deploys.lib.settings import SettingsError
from tests.unit import golden, site

CLOSED: dict[str, Any] = {"firewall_ingress": "needed", "firewall_operator_networks": ["203.0.113.0/24", "fd00:1::/64"]}
FULL: dict[str, Any] = {
    **CLOSED,
    "firewall_egress": "needed",
    "firewall_client_networks": ["10.0.0.0/8"],
    "firewall_monitor_networks": ["10.9.0.1"],
    "firewall_extra_ports": [
        {"port": 9100, "networks": ["10.9.0.0/16"]},
        {"port": 8081, "networks": EVERYONE},
        {"port": 514, "protocol": "udp", "networks": ["10.8.0.0/16", "fd00::/8"]},
    ],
    "firewall_egress_extra": [{"port": 3128, "networks": ["10.1.1.1"]}],
    "firewall_extra_rules": "ip saddr 192.0.2.99 drop\n\n",
    "firewall_log": True,
    "litellm_otel_endpoint": "http://10.3.3.3:4318",
}


def on(name: str, **data: Any) -> Here:
    return site.place(site.split(**data), name)


def spoken(found: list[Rule]) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {rule.what: (rule.port, rule.networks) for rule in found}


def test_golden_files(pytestconfig: pytest.Config) -> None:
    made = {file.path: file.text for file in FIREWALL.files(site.single(**CLOSED))}
    wanted = {
        "single.nft": rules(site.single(**CLOSED)),
        "database.nft": rules(on("db", **CLOSED)),
        "gateway-full.nft": rules(on("gw-1", **FULL)),
        "database-full.nft": rules(on("db", **FULL)),
        "egress-only.nft": rules(on("cache", firewall_egress="needed")),
        UNIT: made[f"/etc/systemd/system/{UNIT}"],
        "nftables.service.d__portcullis.conf": made[NFTABLES],
    }
    golden.compare(golden.FOLDER / "firewall", wanted, pytestconfig)


def test_a_host_that_does_not_ask_for_it_has_none_and_loses_the_one_it_had() -> None:
    change = change_for(FIREWALL, site.single())
    assert (change.items, change.unit, change.check, change.outdated, change.probes) == ((), "", (), (), ())
    assert change.ready == "true" and not FIREWALL.refusals(site.single())


def test_each_service_is_open_to_the_hosts_that_use_it_and_to_nobody_else() -> None:
    gateways = ("192.0.2.21", "192.0.2.22")
    assert spoken(ingress(on("db", **CLOSED))) == {"postgres_port": (5432, gateways)}
    assert spoken(ingress(on("cache", **CLOSED))) == {"redis_port": (6379, gateways)}
    assert spoken(ingress(on("llm", **CLOSED))) == {"ollama_port": (11434, gateways)}
    assert spoken(ingress(on("gw-2", **CLOSED))) == {"litellm_port": (4100, tuple(EVERYONE))}
    assert spoken(ingress(site.single(**CLOSED))) == {"litellm_port": (4100, tuple(EVERYONE))}, "it asks itself"


def test_a_gateway_that_is_also_the_database_is_open_to_the_other_one_only() -> None:
    both = site.look(
        site.host(
            "a", ("postgres", "redis", "ollama", "litellm"), private_address="192.0.2.1", **CLOSED, preset="large"
        ),
        site.host("b", ("litellm",), private_address="192.0.2.2", **CLOSED),
    )
    found = spoken(ingress(site.place(both, "a")))
    assert found["postgres_port"] == (5432, ("192.0.2.2",)) and found["redis_port"] == (6379, ("192.0.2.2",))


def test_backups_are_open_between_the_two_hosts_that_keep_and_make_them() -> None:
    hosts = site.look(
        site.host("a", (*site.ROLES,), private_address="192.0.2.1", **CLOSED),
        site.host("store", ("backup",), private_address="192.0.2.9", **CLOSED),
    )
    assert spoken(ingress(site.place(hosts, "a")))["backups_port"] == (8432, ("192.0.2.9",))
    assert spoken(ingress(site.place(hosts, "store"))) == {"backups_port": (8432, ("192.0.2.1",))}
    assert spoken(egress(site.place(hosts, "store")))["backups_port"] == (8432, ("192.0.2.1",))


def test_clients_and_monitors_are_who_the_settings_say() -> None:
    found = spoken(ingress(site.single(**FULL)))
    assert found["litellm_port"] == (4100, ("10.0.0.0/8",))
    assert found["health_port"] == (4001, ("10.9.0.1",)) and found["litellm_metrics_port"] == (4101, ("10.9.0.1",))
    assert "health_port" not in spoken(ingress(site.single(**CLOSED))), "its answers need no key"


def test_a_moved_port_is_the_one_that_is_opened() -> None:
    assert spoken(ingress(on("db", postgres_port=6000, **CLOSED)))["postgres_port"][0] == 6000
    assert "tcp dport { 22, 2222 } ip saddr" in rules(site.single(firewall_ssh_ports=[2222, 22], **CLOSED))


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_port_says_who_may_ask_it_in_words_that_mean_something(component: Any) -> None:
    known = {CLIENTS, MONITORS, *(one.name for one in COMPONENTS)}
    assert not {CLIENTS, MONITORS} & {one.name for one in COMPONENTS}
    for listener in component.listeners(site.having(component)):
        assert listener.askers and set(listener.askers) <= known, listener


def test_what_a_host_may_ask_is_what_its_components_use() -> None:
    found = spoken(egress(on("gw-1", **FULL)))
    assert found["postgres_port"] == (5432, ("192.0.2.10",)) and found["redis_port"] == (6379, ("192.0.2.11",))
    assert found["an address in the settings"] == (4318, ("10.3.3.3",))
    assert found["firewall_egress_extra"] == (3128, ("10.1.1.1",))
    assert spoken(egress(on("db", firewall_egress="needed"))) == {}, "a database asks nobody"


def test_database_and_cache_have_to_do_with_nobody_but_their_gateways_and_the_backups() -> None:
    gateways = ("192.0.2.21", "192.0.2.22")
    (database,) = held(on("db", **FULL))
    assert (database.user, database.answers, database.rules) == ("postgres", gateways, ())
    (cache,) = held(on("cache", **FULL, redis_port=6380))
    assert (cache.user, cache.answers, cache.rules) == ("redis", gateways, ())
    assert held(on("gw-1", **FULL)) == [] == held(on("llm", **FULL)), "whose work is to ask"
    text = rules(on("db", **FULL))
    before, _, after = text.partition('meta skuid "postgres" goto user_postgres')
    assert before.rstrip().endswith('oif "lo" accept') and "ct state established,related accept" in after
    more = [{"port": 5432, "networks": ["10.9.9.9"]}, {"port": 9187, "networks": ["10.7.7.7"]}]
    (database,) = held(on("db", **{**FULL, "firewall_extra_ports": more}))
    assert database.answers == (*gateways, "10.9.9.9"), "who may ask it gets an answer"


def test_a_database_may_ask_for_its_backups_wherever_they_are() -> None:
    data = {**CLOSED, "firewall_egress": "needed"}
    hosts = site.look(
        site.host("a", site.ROLES, private_address="192.0.2.1", **data),
        site.host("store", ("backup",), private_address="192.0.2.9", **data),
    )
    database, cache = held(site.place(hosts, "a"))
    assert spoken(list(database.rules)) == {"backups_port": (8432, ("192.0.2.9",))} and not database.names
    assert (cache.answers, cache.rules) == ((), ()), "its gateway is on the same host"
    s3 = {"backups_repository": "s3", "backups_s3_endpoint": "s3.example:9000", "backups_s3_bucket": "kept"}
    keys = {"backups_s3_key": "env:REDIS_PASSWORD", "backups_s3_key_secret": "env:POSTGRES_PASSWORD"}
    (database, _) = held(site.single(**data, **s3, **keys))
    assert spoken(list(database.rules)) == {"an address in the settings": (9000, tuple(EVERYONE))} and database.names


def test_users_that_rules_name_are_there_before_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = site.recorded(FIREWALL, site.single(**{**CLOSED, "firewall_egress": "needed"}), monkeypatch)
    assert [name for name, _ in calls] == ["packages", "unless"]
    assert calls[1][1]["test"] == "getent passwd postgres >/dev/null && getent passwd redis >/dev/null"
    assert "--home-dir /var/lib/postgresql --shell /bin/bash postgres; " in calls[1][1]["command"]
    assert [account.name for account in accounts(site.single())] == ["postgres", "redis"]
    assert [name for name, _ in site.recorded(FIREWALL, site.single(**CLOSED), monkeypatch)] == ["packages"]


def test_addresses_in_settings_are_found_however_deep_and_secrets_only_by_their_port() -> None:
    assert list(urls_in(["x", {"a": ("https://a.example:8443/p",)}, 1])) == ["https://a.example:8443/p"]
    secret = site.resolve("env:POSTGRES_PASSWORD").__class__("https://hook.example:9443/s3cret?x=y")
    assert list(urls_in({"webhook": secret})) == ["https://hook.example:9443"]
    # A password that looks like an address and is none; nothing of it is told.
    assert list(urls_in({"a": SecretStr("https://u:p[x@h/"), "b": SecretStr("http://\u2100:x@h/")})) == []
    assert endpoint("https://u:p[x@h/") == ("", 0)
    assert endpoint("10.0.0.1:5000/image@sha256:0") == ("10.0.0.1", 5000)
    assert endpoint("python:3.13-slim@sha256:0") == ("python", 0) and endpoint("https://[fd00::1]") == ("fd00::1", 443)


@pytest.mark.parametrize(
    ("networks", "found"),
    [
        (EVERYONE, [""]),
        (["0.0.0.0/0"], ["meta nfproto ipv4 "]),
        (["::/0", "10.0.0.1"], ["ip saddr { 10.0.0.1 } ", "meta nfproto ipv6 "]),
        # The kernel takes no two that overlap.
        (["10.0.0.0/8", "10.1.0.0/16", "10.0.0.7"], ["ip saddr { 10.0.0.0/8 } "]),
        (["fd00::1", "10.0.0.0/24", "10.0.1.0/24"], ["ip saddr { 10.0.0.0/23 } ", "ip6 saddr { fd00::1 } "]),
        ([], []),
    ],
)
def test_networks_are_written_once_for_each_version_of_ip(networks: list[str], found: list[str]) -> None:
    assert matches(networks, "saddr") == found


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"firewall_ingress": "needed"},
            "firewall_operator_networks: names nobody, and SSH would be closed to everyone; name where you work, such "
            'as ["203.0.113.0/24"]',
        ),
        (
            {"firewall_operator_networks": ["10.0.0.1/8"]},
            "firewall_operator_networks[0]: '10.0.0.1/8' is not a network; did you mean 10.0.0.0/8? (given: "
            "'10.0.0.1/8')",
        ),
        (
            {"firewall_client_networks": ["office"]},
            "firewall_client_networks[0]: 'office' is not a network, such as 10.20.0.0/16, 203.0.113.7 or fd00:1::/64 "
            "(given: 'office')",
        ),
        (
            {**CLOSED, "firewall_extra_ports": [{"port": 9100, "networks": ["10.0.0.1"]}] * 2},
            "firewall_extra_ports: 9100/tcp is there twice; put its networks into one entry",
        ),
        (
            {**CLOSED, "firewall_extra_ports": [{"port": 22, "networks": EVERYONE}]},
            "firewall_extra_ports: 22 is SSH's (firewall_ssh_ports); firewall_operator_networks says who may use it",
        ),
        (
            {"firewall_inner_interfaces": ['x"; drop']},
            "firewall_inner_interfaces[0]: must be an interface's name, such as docker0, or a beginning, as br-* "
            "(given: 'x\"; drop')",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    assert caught.value.problems == [f"gateway.example.org: {sentence}"]


def test_a_change_of_the_rules_reloads_and_is_confirmed() -> None:
    change = change_for(FIREWALL, site.single(**CLOSED))
    assert change.confirm_seconds >= 30 and change.unit == UNIT
    effects = {item.path: item.effect for item in change.items}
    assert effects.pop(RULES) == "reload" and set(effects.values()) == {"none"}, "a restart is a moment without rules"
