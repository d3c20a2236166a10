"""What a person reads when a setting is wrong: whole sentences, under the key they wrote, before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from deploys.components import COMPONENTS
from deploys.components.postgres import PostgresSettings
from deploys.components.redis import RedisSettings
from deploys.lib import settings
from deploys.lib.host_settings import HostSettings
from deploys.lib.settings import Port, Secret, Settings, SettingsError, settings_from
from deploys.lib.sizing import Machine
from tests.unit import site


def problems(*hosts: Any, **data: Any) -> list[str]:
    """What is said about ``hosts``, or about one host with everything and ``data``."""
    with pytest.raises(SettingsError) as caught:
        site.look(*(hosts or (site.host("gw", **data),)))
    return caught.value.problems


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"redis_prot": 1}, "redis_prot: unknown setting; did you mean redis_port?"),
        ({"rediss_port": 1}, "rediss_port: unknown setting; did you mean redis_port?"),
        ({"ssh_usr": "root"}, "ssh_usr: unknown setting; did you mean ssh_user?"),
        ({"prest": "small"}, "prest: unknown setting; did you mean preset?"),
        ({"qdrant_collection": 1}, "qdrant_collection: unknown setting"),
        ({"redis_port": "6380"}, "redis_port: Input should be a valid integer (given: '6380')"),
        ({"redis_port": 70000}, "redis_port: Input should be less than or equal to 65535 (given: 70000)"),
        ({"redis_port": 0}, "redis_port: Input should be greater than or equal to 1 (given: 0)"),
        ({"redis_port": True}, "redis_port: Input should be a valid integer (given: True)"),
        ({"postgres_database": 7}, "postgres_database: Input should be a valid string (given: 7)"),
        ({"redis_bind": []}, "redis_bind: names no address (given: [])"),
        ({"redis_bind": ["10.0.0"]}, "redis_bind: '10.0.0' is not an IP address (given: ['10.0.0'])"),
        ({"ollama_bind": "1.2.3"}, "ollama_bind: '1.2.3' is not an IP address (given: '1.2.3')"),
        ({"litellm_listen": "::1::"}, "litellm_listen: '::1::' is not an IP address (given: '::1::')"),
        ({"private_address": "10.0.0"}, "private_address: '10.0.0' is not an IP address"),
        ({"components": "redis,postgers"}, "components: there is no component 'postgers'; there are {names}"),
        ({"components": []}, "components: names none; there are {names}, and `all`"),
        ({"components": " , "}, "components: names none; there are {names}, and `all`"),
        (
            {"preset": "huge"},
            "preset: Input should be 'auto', 'small' or 'large' (given: 'huge')",
        ),
        (
            {"postgres_user": "postgres"},
            "postgres_user: has a meaning of its own in PostgreSQL or here; choose another name (given: 'postgres')",
        ),
    ],
)
def test_a_wrong_setting_is_said_under_its_key_in_one_sentence(data: dict[str, Any], sentence: str) -> None:
    names = ", ".join(component.name for component in COMPONENTS)
    assert problems(**data) == [f"gw: {sentence.format(names=names)}"]


@pytest.mark.parametrize("name", ["postgres", "health", "all", "replication", "pg_monitor", "user"])
def test_a_role_or_database_that_means_something_else_is_refused(name: str) -> None:
    for key in ("postgres_user", "postgres_database"):
        assert problems(**{key: name})[0].startswith(f"gw: {key}: has a meaning of its own")


def test_every_problem_of_every_host_is_said_at_once() -> None:
    found = problems(site.host("a", redis_port=0, ollama_bind="x", nonsense=1), site.host("b", litellm_port="1"))
    assert [line.partition(": ")[0] for line in found] == ["a", "a", "a", "b"]
    assert [line.split(": ")[1] for line in found] == ["nonsense", "redis_port", "ollama_bind", "litellm_port"]


def test_a_key_is_named_once_although_two_checks_know_it() -> None:
    # The component's own class and the whole toolkit have different nearest keys for it.
    assert problems(redis_databse="x") == ["gw: redis_databse: unknown setting; did you mean postgres_database?"]


def test_a_renamed_key_names_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.RENAMED, "redis_memory", "redis_maxmemory_mb")
    assert problems(redis_memory=64) == ["gw: redis_memory: was renamed; use redis_maxmemory_mb"]


def test_keys_of_the_connector_and_of_pyinfra_pass() -> None:
    assert site.look(site.host("gw", ssh_user="root", _sudo=True, ssh_port=2222, chroot_directory="/x"))


def test_a_key_of_a_component_that_is_not_on_the_host_is_still_checked() -> None:
    hosts = [site.host("a", ("postgres", "redis"), private_address="192.0.2.1", litellm_prot=1)]
    assert problems(*hosts) == ["a: litellm_prot: unknown setting; did you mean litellm_port?"]


@pytest.mark.parametrize("field", ["port", "maxmemory_mb"])
def test_numbers_that_the_command_line_reads_differently_are_not_coerced(field: str) -> None:
    # `--data redis_password=007` arrives as the number 7: a changed password, were it taken.
    found = problems(redis_password=7)
    assert found == [
        "gw: redis_password: must be a reference in quotes, such as env:NAME; this one is of type int",
    ]
    assert problems(**{f"redis_{field}": 64.0})[0].startswith(f"gw: redis_{field}: Input should be a valid integer")


def test_a_rule_between_fields_names_the_component() -> None:
    (found,) = problems(ollama_version="0.40.0")
    assert found == "gw: ollama: ollama_version is 0.40.0, but ollama_sha256 is that of 0.35.1; set both"


@pytest.mark.parametrize(
    ("hosts", "sentences"),
    [
        (
            [],
            [
                "no host of the inventory is in a group that Portcullis knows: backup, edge, litellm, "
                "ollama, postgres, redis"
            ],
        ),
        (
            [site.host("gw", ("postgres", "litellm", "ollama"))],
            [
                f"{user} on gw needs redis, but no host is in the group 'redis'; add one to the inventory, for "
                "example the same host"
                for user in ("litellm", "health")
            ],
        ),
        (
            [site.host("gw"), site.host("db", ("postgres",), private_address="192.0.2.7")],
            [
                "gw: private_address: the hosts of a spread-out gateway need IP addresses, and 'gw' is not one; "
                "set private_address for it"
            ],
        ),
        (
            [site.host("a", private_address="192.0.2.1"), site.host("b", ("redis",), private_address="192.0.2.2")],
            ["a: the group 'redis' has more than one host (a, b); a gateway uses one"],
        ),
        (
            [site.host("a", private_address="192.0.2.1"), site.host("b", ("ollama",), private_address="192.0.2.1")],
            ["a, b: private_address: 192.0.2.1 is the address of more than one host"],
        ),
        (
            [site.host("a", private_address="192.0.2.1"), site.host("b", ("ollama",), ssh_hostname="127.0.0.1")],
            [
                "b: private_address: 127.0.0.1 leads every other host to itself; set the address the others reach it "
                "under"
            ],
        ),
    ],
)
def test_an_inventory_that_cannot_work_is_refused(hosts: list[Any], sentences: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        site.look(*hosts)
    assert caught.value.problems == sentences


def test_auto_asks_the_machine() -> None:
    plain = {key: value for key, value in site.COMMON.items() if key != "preset"}
    (member,) = site.look(site.host("gw", common=plain, measure=Machine(6, 12000)))
    assert member.machine == Machine(6, 12000)
    (stated,) = site.look(site.host("gw", common=plain, vcpus=2, memory_mb=8192))
    assert stated.machine == Machine(2, 8192)
    (half,) = site.look(site.host("gw", vcpus=2))
    assert half.machine == Machine(2, 8192), "what is stated counts, and the preset fills in the rest"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/var/lib", "is a folder that others use too"),
        ("/var/backups/", "is a folder that others use too"),
        ("/srv", "is a folder that others use too"),
        ("/", "must be a whole path, of letters, digits and _ . / -"),
        ("/etc", "is in a folder of the system's own"),
        ("/usr/local/backups", "is in a folder of the system's own"),
        ("/run/backups", "is in a folder of the system's own"),
        ("/tmp/backups", "is in a folder of the system's own"),
        ("/var/tmp/backups", "is in a folder of the system's own"),
        ("/../etc", "is not a plain path"),
        ("/srv/backups/../../etc", "is not a plain path"),
        ("/srv//backups", "is not a plain path"),
        ("/var/lib/portcullis/backups", "is where Portcullis keeps what it is working on"),
    ],
)
def test_a_folder_that_is_not_for_copies_is_no_backup_root(path: str, why: str) -> None:
    (found,) = problems(backup_root=path)
    assert found.startswith(f"gw: backup_root: {why}") and found.endswith(f"(given: {path!r})")


@pytest.mark.parametrize("path", ["/var/backups/portcullis", "/srv/backups/", "/opt/x.y/b-1", "/root/backups"])
def test_a_folder_of_its_own_is_a_backup_root(path: str) -> None:
    assert site.single(backup_root=path).member.host.backup_root == path.rstrip("/")


def test_components_choose_what_a_run_works_on() -> None:
    chosen = settings_from({"components": "redis, litellm"}, "", HostSettings, site.resolve)
    assert [chosen.wants(name) for name in ("redis", "litellm", "postgres")] == [True, True, False]
    assert settings_from({}, "", HostSettings, site.resolve).wants("anything")


def test_a_host_in_no_group_of_ours_is_left_alone() -> None:
    other, ours = site.look(site.host("web", ("apache",)), site.host("gw"))
    assert not other.settings and ours.settings


def test_a_secret_is_not_in_repr_nor_in_a_dump() -> None:
    for cls, prefix in ((RedisSettings, "redis_"), (PostgresSettings, "postgres_")):
        made = settings_from({}, prefix, cls, site.resolve)
        for text in (repr(made), str(made), made.model_dump_json(), repr(site.single().member)):
            assert not [value for value in site.SECRETS.values() if value in text]


class Peer(Settings):
    port: Port = 1
    key: Secret | None = None
    names: list[str] = Field(default_factory=list)


class Peers(Settings):
    peers: list[Peer] = Field(default_factory=list)
    first: Peer | None = None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"x_peers": [{}, {"prot": "hidden"}]}, "x_peers[1].prot: unknown setting; did you mean port?"),
        ({"x_peers": [{"zzzzz": "hidden"}]}, "x_peers[0].zzzzz: unknown setting"),
        ({"x_peers": [{"port": 0}]}, "x_peers[0].port: Input should be greater than or equal to 1 (given: 0)"),
        ({"x_peers": [{"names": ["a", 7]}]}, "x_peers[0].names[1]: Input should be a valid string (given: 7)"),
        (
            {"x_peers": [{"key": "hidden"}]},
            "x_peers[0].key: a literal value is refused; give a reference: env:NAME, file:PATH or cmd:COMMAND",
        ),
        ({"x_peers": ["hidden"]}, "x_peers[0]: Input should be a valid dictionary or instance of Peer"),
        ({"x_peers": {"key": "hidden"}}, "x_peers: Input should be a valid list"),
        ({"x_first": "hidden"}, "x_first: Input should be a valid dictionary or instance of Peer"),
        ({"x_first": {"port": "1"}}, "x_first.port: Input should be a valid integer (given: '1')"),
    ],
)
def test_a_wrong_entry_of_a_list_is_said_where_it_is_and_shows_no_whole_entry(data: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(data, "x_", Peers, site.resolve)
    assert caught.value.problems == [sentence]
