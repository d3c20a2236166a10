"""A bare host becomes a gateway in one run, and a second run finds nothing to do."""

from __future__ import annotations

from tests.host.lab.conftest import Deployed, suite
from tests.host.support_lab import SITE, VERIFY, run, say
from tests.host.support_watch import differences, picture


def test_a_bare_host_is_deployed_in_one_run(trixie: Deployed) -> None:
    assert trixie.first is not None
    assert trixie.first.status == 0
    assert trixie.first.totals["error"] == 0


def test_the_second_run_changes_nothing_and_restarts_nothing(trixie: Deployed) -> None:
    before = picture(trixie.server)
    second = run(trixie.name, SITE)
    assert second.status == 0, second.problem
    assert second.totals["hosts"] > 0
    assert second.totals["no_change"] == second.totals["hosts"], second.problem
    assert differences(before, picture(trixie.server)) == []
    say(f"      second run: {second.seconds:.1f} s")


def test_verify_says_that_all_is_right_and_changes_nothing(trixie: Deployed) -> None:
    before = picture(trixie.server)
    verified = run(trixie.name, VERIFY)
    assert verified.status == 0, verified.problem
    assert "answers are right" in verified.log
    assert " NO " not in verified.log
    assert differences(before, picture(trixie.server)) == []


def test_everything_asked_of_any_inventory_holds_for_debian_13(trixie: Deployed) -> None:
    suite(trixie.name)
