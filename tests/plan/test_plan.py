"""What a run would do: which operations, in which order, on which hosts, one gateway at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from deploys.components import COMPONENTS
from tests.plan.command import MARK, SECRETS, Ran
from tests.unit.site import spellings

Runs = Callable[[str], Ran]
TIDY = "engine | Containers that are left"
HOSTS = {
    "base": {"@fake/db", "@fake/cache", "@fake/llm", "@fake/gw-1", "@fake/gw-2"},
    "hardening": {"@fake/db", "@fake/cache", "@fake/llm", "@fake/gw-1", "@fake/gw-2"},
    "engine": set(),
    "firewall": set(),
    "postgres": {"@fake/db"},
    "backups": {"@fake/db"},
    "redis": {"@fake/cache"},
    "ollama": {"@fake/llm"},
    "litellm": {"@fake/gw-1", "@fake/gw-2"},
    "health": {"@fake/gw-1", "@fake/gw-2"},
    "edge": set(),
}
ON_THE_DATABASES_HOST = {
    "litellm | What migrations this version has, for the database's host",
    "litellm | Dump the database before it is migrated, and prove the dump",
    "litellm | Remove the copy that the migration was rehearsed on",
}
SWITCH = "Write, check and use its files"


def names(ran: Ran, component: str = "") -> list[str]:
    """Operations of the plan in order, those of ``component`` without its name."""
    every = [str(operation["name"]) for operation in ran.plan]
    mine = [name.removeprefix(f"{component} | ") for name in every if name.startswith(f"{component} | ")]
    return mine if component else every


def test_a_plan_can_be_made_without_a_machine(ran: Runs) -> None:
    done = ran("plan")
    assert done.code == 0, done.text
    assert len(done.plan) > 30


def test_components_come_one_after_another_and_the_summary_last(ran: Runs) -> None:
    every = names(ran("plan"))
    # What nothing needs any more goes when everything serves.
    assert every[-2:] == [TIDY, "Summary"]
    order = [name.partition(" |")[0] for name in every if name != TIDY]
    assert list(dict.fromkeys(order)) == [*(component.name for component in COMPONENTS), "Summary"]
    runs = [one for one, before in zip(order, ["", *order], strict=False) if one != before]
    assert len(runs) == len(COMPONENTS) + 1, "no component is worked on in two places"


def test_each_component_is_on_its_own_hosts_only(ran: Runs) -> None:
    for operation in ran("plan").plan:
        component = operation["name"].partition(" |")[0]
        if operation["hosts_with_change"] and operation["name"] != TIDY:
            # The database's host has a part in a gateway's change of version: it dumps first.
            where = HOSTS["postgres"] if operation["name"] in ON_THE_DATABASES_HOST else HOSTS[component]
            assert set(operation["hosts_with_change"]) == where, operation["name"]
    assert set(HOSTS) == {component.name for component in COMPONENTS}


@pytest.mark.parametrize("component", [name for name in HOSTS if HOSTS[name] and name != "base"])
def test_a_component_is_installed_then_switched_then_ready_then_provisioned(ran: Runs, component: str) -> None:
    order = names(ran("plan"), component)
    begin = order.index(SWITCH)
    install, switch, provision = order[:begin], order[begin : begin + 2], order[begin + 2 :]
    assert install and switch == [SWITCH, "Ready"], order
    assert not set(provision) & {SWITCH, "Packages"}
    if component == "postgres":
        assert {"Role litellm", "Role health", "Database"} <= set(provision)


def test_hosts_whose_services_run_in_containers_get_an_engine_before_anything_that_needs_one(ran: Runs) -> None:
    done = ran("compose")
    assert done.code == 0, done.text
    where = {one["name"]: set(one["hosts_with_change"]) for one in done.plan if one["name"].startswith("engine | ")}
    assert where == {
        "engine | Begin": set(),
        "engine | Packages": HOSTS["base"],
        "engine | What makes and runs containers, folder": HOSTS["base"],
        "engine | What makes and runs containers, compose": HOSTS["base"],
        f"engine | {SWITCH}": HOSTS["base"],
        "engine | Ready": HOSTS["base"],
        "engine | Images that nothing needs any more": HOSTS["base"],
    }
    order = names(done)
    built = [name for name in order if " | Image portcullis-" in name]
    assert len(built) == 5 and order.index(built[-1]) < order.index("postgres | Begin"), (
        "all before anything is stopped"
    )
    assert order.index("health | Ready") < order.index("engine | Images that nothing needs any more")
    assert order.index("base | Ready") < order.index("engine | Begin")
    assert order.index("engine | Ready") < order.index("postgres | Begin")


def test_images_are_built_here_once_for_both_gateways_before_either_is_changed(ran: Runs) -> None:
    done = ran("shipped")
    assert done.code == 0, done.text
    sent = re.findall(r"simulating put_file on (\S+): (/var/lib/portcullis/shipped/portcullis-(\w+)-\S+)", done.text)
    assert sorted((host, name) for host, _, name in sent) == [
        (f"@fake/gw-{number}", name) for number in (1, 2) for name in ("health", "litellm")
    ]
    assert len({path for _, path, _ in sent}) == 2, "one archive for both"
    assert "the same image is being built for another host" in done.text
    assert done.text.rindex("/var/lib/portcullis/shipped/portcullis-") < done.text.index("staged/litellm.")


def test_other_hosts_get_nothing_of_an_engine(ran: Runs) -> None:
    assert names(ran("plan"), "engine") == ["Begin", SWITCH, "Ready", "Containers that are left"]


def test_a_gateway_changes_after_the_dump_and_the_rehearsal_whatever_host_they_are_on(ran: Runs) -> None:
    order = names(ran("plan"), "litellm")
    steps = [
        "Python environment, from the hash-locked set",
        "Dump the database before it is migrated, and prove the dump",
        "Rehearse the migration on a copy of the database",
        "Remove the copy that the migration was rehearsed on",
        SWITCH,
    ]
    assert [name for name in order if name in steps] == steps
    gates = [order.index(name) for name in order if name.startswith("Before the files: ")]
    places = [order.index(name) for name in steps]
    assert [sum(gate < place for gate in gates) for place in places] == [0, 1, 2, 3, 3], "each waits for all hosts"


def test_one_component_alone_comes_with_the_base_it_needs(ran: Runs) -> None:
    worked_on = {
        operation["name"].partition(" |")[0]
        for operation in ran("one component").plan
        if operation["hosts_with_change"] and operation["name"] != TIDY
    }
    assert worked_on == {"base", "redis"}


def test_a_run_on_some_hosts_asks_the_others_their_size_and_leaves_them_alone(ran: Runs) -> None:
    done = ran("part of the site")
    assert done.code == 0, done.text
    assert {host for operation in done.plan for host in operation["hosts_with_change"]} == HOSTS["litellm"]


def switches(done: Ran, component: str) -> list[tuple[str, str]]:
    """Host and step of every command that switches ``component``, in the order in which they ran."""
    found = []
    for line in done.executed:
        host, _, command = line.partition(": ")
        if f"staged/{component}." in command:
            found.append((host, "stage"))
        elif f"/transact {component} " in command:
            found.append((host, "switch"))
    return found


@pytest.mark.parametrize("component", ["litellm", "health"])
def test_gateways_are_switched_one_after_the_other(ran: Runs, component: str) -> None:
    done = switches(ran("loud"), component)
    (first, _), _, (second, _), _ = done
    assert {first, second} == {"@fake/gw-1", "@fake/gw-2"}
    assert done == [(first, "stage"), (first, "switch"), (second, "stage"), (second, "switch")]


def test_a_gateway_that_fails_keeps_the_next_one_from_being_touched(ran: Runs) -> None:
    done = ran("gateway fails")
    assert done.code == 1
    assert [step for _, step in switches(done, "litellm")] == ["stage", "switch"]
    assert "left as it was, because @fake/gw-" in done.text
    assert not switches(done, "health"), "and nothing comes after it"


def test_a_gateway_starts_after_what_it_needs_is_ready(ran: Runs) -> None:
    done = ran("loud")
    order = [(name, *switches(done, name)) for name in HOSTS if switches(done, name)]
    last = {name: max(i for i, line in enumerate(done.executed) if f"transact {name} " in line) for name, *_ in order}
    assert last["postgres"] < last["redis"] < last["ollama"] < last["litellm"] < last["health"]
    roles = max(i for i, line in enumerate(done.executed) if line.startswith("@fake/db") and "psql" in line)
    assert roles < last["litellm"]


@pytest.mark.parametrize("case", ["plan", "loud", "inventory", "verify", "gateway fails", "wrong"])
def test_no_secret_is_in_anything_that_is_shown(ran: Runs, case: str) -> None:
    done = ran(case)
    everything = done.out + done.text
    assert len(everything) > 100
    assert MARK not in everything
    for value in SECRETS.values():
        assert not [text for text in spellings(value) if text in everything]


def test_the_inventory_shows_references(ran: Runs) -> None:
    assert json.loads(ran("inventory").out), "debug-inventory works, so testinfra can read it"


def test_verify_asks_and_changes_nothing(ran: Runs) -> None:
    done = ran("verify")
    assert done.code == 0, done.text[-2000:]
    assert "answers are right" in done.text
    changing = ("transact", "systemd-run", "apt-get", "install -d", "mv ", "createdb")
    asked = [line for line in done.executed if "timeout " in line]
    assert len(asked) > 20
    assert not [line for line in done.executed if line not in asked and any(word in line for word in changing)]


def answers(done: Ran) -> dict[str, str]:
    """What is said last about each host that verify was run on."""
    said = {}
    for line in done.text.splitlines():
        found = re.search(r"\[(@fake/\S+)\] +(nothing to ask here|all \d+ answers are right)", line)
        if found:
            said[found[1]] = found[2]
    return said


def test_verify_is_content_with_hosts_that_have_nothing_to_be_asked(ran: Runs) -> None:
    done = ran("verify one component")
    assert done.code == 0, done.text[-2000:]
    said = answers(done)
    assert said.pop("@fake/cache").endswith("answers are right")
    assert said == dict.fromkeys(HOSTS["base"] - {"@fake/cache"}, "nothing to ask here")
    done = ran("verify beside a bastion")
    assert done.code == 0, done.text[-2000:]
    assert [host for host, answer in answers(done).items() if "nothing" in answer] == ["@fake/bastion"]


def test_verify_fails_when_nobody_is_asked_anything(ran: Runs) -> None:
    done = ran("verify a bastion only")
    assert done.code == 1 and "nothing was asked" in done.text and not answers(done)


def test_a_host_of_somebody_else_is_not_touched(ran: Runs) -> None:
    done = ran("stranger")
    assert done.code == 1 and not [line for line in done.executed if "Hardware" in line]
    assert done.error == (
        "nothing was changed: no host of the inventory is in a group that Portcullis knows: backup, edge, litellm, "
        "ollama, postgres, redis"
    )
