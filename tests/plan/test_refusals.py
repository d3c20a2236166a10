"""A run that cannot go well ends before it begins: one plain sentence, an exit code, and nothing executed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from deploys.guard import why_no_hosts
from tests.plan.command import Ran

Runs = Callable[[str], Ran]
FOLDER = "run pyinfra from Portcullis' own folder, the one with config.py and group_data/"


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("no inventory", "there is no inventory file inventories/prodction.py; nothing was changed"),
        (
            "limit",
            "--limit @fake/gw-1 --exclude litellm leaves none of the 5 hosts of inventories/fake.py; "
            "nothing was changed",
        ),
        (
            "a folder",
            "tests/golden is a folder, not an inventory; name one file; nothing was changed",
        ),
        ("elsewhere", FOLDER),
        ("elsewhere with config", FOLDER),
        (
            "old debian",
            "nothing was changed: @fake/cache: runs Debian 11; Portcullis needs Debian 12 or 13",
        ),
        (
            "too large",
            "nothing was changed: @fake/cache: memory_mb: 65,536 MiB to share out, but the host has 8,192 MiB; state "
            "what it has, or use preset `auto`, which asks it (set in too-large.py:2)",
        ),
        (
            "sudoo",
            "nothing was changed: @fake/cache: _sudoo: is no argument of pyinfra; did you mean _sudo? "
            "(set in sudoo.py:2)",
        ),
        (
            # Both images of the host need it, and it is said once.
            "no workshop",
            "nothing was changed: @fake/gw-1: engine_images_from: the Docker engine of this machine does not answer: "
            "it is off (set in no-workshop.py:4)",
        ),
        (
            "port taken",
            "nothing was changed: @fake/cache: port 6379 (redis_port) is taken by valkey-server; stop it or "
            "set redis_port",
        ),
        (
            "shut out",
            "nothing was changed: @fake/cache: firewall_operator_networks: this run comes from 198.51.100.4, which is "
            "in none of 203.0.113.0/24; it would shut itself out. Name its network too (set in shut-out.py:4)",
        ),
    ],
)
def test_a_run_is_refused_with_one_sentence(ran: Runs, case: str, sentence: str) -> None:
    done = ran(case)
    assert done.code == 1
    assert re.sub(r"set in \S*/", "set in ", done.error) == sentence, done.text
    assert "Traceback" not in done.text


def test_everything_that_is_wrong_with_the_settings_is_said_at_once_with_where_it_was_set(ran: Runs) -> None:
    done = ran("wrong")
    said = done.text.partition("nothing was changed: ")[2].strip().splitlines()
    assert done.code == 1 and "Traceback" not in done.text
    gateways = "@fake/gw-1, @fake/gw-2"
    entry = "set in PLACED/group_data/litellm.py:3"
    assert [re.sub(r"/\S*/placed/", "PLACED/", line.strip()) for line in said] == [
        f"{gateways}, @fake/llm, @fake/db, @fake/cache: redis_prot: unknown setting; did you mean redis_port? "
        "(set with --data)",
        f"{gateways}: litellm_port: Input should be greater than or equal to 1 (given: 0; set in "
        "PLACED/more/litellm.py:3)",
        f"{gateways}: litellm_salt_key: must be a reference in quotes, such as env:NAME; this one is of type int "
        "(set with --data)",
        f"{gateways}: litellm_models[0].name: Field required ({entry})",
        f"{gateways}: litellm_models[0].provider: Field required ({entry})",
        f"{gateways}: litellm_models[0].model: Field required ({entry})",
        f"{gateways}: litellm_models[0].modle: unknown setting; did you mean mode? ({entry})",
        "@fake/db: postgres_port: Input should be a valid integer (given: '5432'; set in PLACED/fake.py:8)",
        "@fake/cache: redis_port: Input should be less than or equal to 65535 (given: 70000; set in PLACED/fake.py:4)",
        "@fake/cache: redis_password: a literal value is refused; give a reference: env:NAME, file:PATH or "
        "cmd:COMMAND (set with --data)",
        "@fake/cache: redis_health_password: env:REDIS_HEALTH_PASSWORD is set neither in the environment nor in "
        "secrets/fake.env; `make secrets` creates it",
    ]


def test_an_inventory_without_hosts_is_said(ran: Runs) -> None:
    done = ran("no hosts")
    assert done.code == 1 and done.error.endswith("no-hosts.py has no hosts; nothing was changed")


def test_a_missing_group_is_said_for_everyone_who_needs_it(ran: Runs) -> None:
    done = ran("no redis")
    assert done.code == 1 and "Traceback" not in done.text
    assert (
        "nothing was changed: litellm on @fake/gw-1, @fake/gw-2 needs redis, but no host is in the group 'redis'"
        in done.text
    )


def test_a_folder_in_place_of_an_inventory_is_said_with_the_files_in_it(ran: Runs) -> None:
    done = ran("folder of inventories")
    assert done.code == 1 and "Traceback" not in done.text
    assert " is a folder, not an inventory; name one file of " in done.error
    assert "/no-redis.py, " in done.error and done.error.endswith("; nothing was changed")


@pytest.mark.parametrize("case", ["no redis", "old debian", "port taken", "shut out", "wrong", "too large", "sudoo"])
def test_a_refused_run_only_asked(ran: Runs, case: str) -> None:
    done = ran(case)
    assert "--> Beginning operation run" not in done.text
    assert not [line for line in done.executed if any(word in line for word in ("transact", "apt-get", "systemd-run"))]


@pytest.mark.parametrize(
    ("arguments", "hosts", "chosen", "why"),
    [
        ({"inventory": "x.py"}, 2, None, ""),
        ({"inventory": "x.py"}, 2, ["one"], ""),
        ({"inventory": "no/x.py"}, 0, None, "there is no inventory file no/x.py; nothing was changed"),
        ({"inventory": "config.py"}, 0, None, "config.py has no hosts; nothing was changed"),
        ({"inventory": "host"}, 0, None, "host has no hosts; nothing was changed"),
        (
            {"inventory": "x.py", "limit": ("a", "b"), "exclude": ("c",)},
            3,
            [],
            "--limit a --limit b --exclude c leaves none of the 3 hosts of x.py; nothing was changed",
        ),
        ({}, 0, None, "the inventory has no hosts; nothing was changed"),
    ],
)
def test_the_guard_knows_why_there_is_no_host(
    arguments: dict[str, object], hosts: int, chosen: list[str] | None, why: str
) -> None:
    assert why_no_hosts(arguments, hosts, chosen) == why
