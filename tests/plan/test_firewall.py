"""What a run would do for a site whose hosts are closed, and for one whose hosts are not."""

from __future__ import annotations

from tests.plan.test_plan import HOSTS, SWITCH, Runs, names


def test_every_host_that_is_closed_gets_its_rules_before_there_is_anything_to_ask(ran: Runs) -> None:
    done = ran("closed")
    assert done.code == 0, done.text
    where = {one["name"]: set(one["hosts_with_change"]) for one in done.plan if one["name"].startswith("firewall | ")}
    assert where == {
        "firewall | Begin": set(),
        "firewall | Packages": HOSTS["base"],
        f"firewall | {SWITCH}": HOSTS["base"],
        "firewall | Ready": HOSTS["base"],
    }
    order = names(done)
    assert order.index("base | Ready") < order.index("firewall | Begin") < order.index("postgres | Begin")


def test_other_hosts_get_nothing_of_a_firewall(ran: Runs) -> None:
    assert names(ran("plan"), "firewall") == ["Begin", SWITCH, "Ready"]
