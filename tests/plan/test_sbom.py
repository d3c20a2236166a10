"""Bills of materials: a file per host on this machine, no operation on any, and no half bill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.plan.command import Ran

Runs = Callable[[str], Ran]


def test_a_file_per_host_is_written_here_and_nothing_is_done_there(ran: Runs) -> None:
    done = ran("bill")
    assert done.code == 0, done.text
    (said,) = [line for line in done.text.splitlines() if ".cdx.json: 1 pypi" in line]
    path = Path(said.partition("] ")[2].partition(": ")[0].strip())
    assert path.name == "@fake_gw-1.cdx.json"
    assert {one["name"] for one in json.loads(path.read_text())["components"]} == {"debian", "litellm"}
    assert not [one for one in done.executed if "transact" in one or "apt-get" in one]


def test_a_host_that_does_not_say_what_is_on_it_gets_no_bill(ran: Runs) -> None:
    done = ran("no bill")
    assert done.code == 1
    assert "nothing was changed: @fake/cache: the host's answer has a line that means nothing: 'curl'" in done.error
