"""Hardening on its own: which areas a host ends up with, from what it has and what is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import DeployError

from deploys.components.hardening.now import asked, reminder, to_be

HAS = {"level": "strict", "controls": [{"area": "sudo"}, {"area": "ssh"}, {"area": "ssh"}]}


@pytest.mark.parametrize(
    ("level", "present", "undo", "only", "expected"),
    [
        ("baseline", HAS, False, [], ("baseline", [])),
        ("baseline", HAS, True, [], ("off", [])),
        ("baseline", HAS, False, ["modes"], ("baseline", ["ssh", "sudo", "modes"])),
        ("baseline", {}, False, ["modes"], ("baseline", ["modes"])),
        # What is left stays as it is, whatever the settings say now.
        ("off", HAS, True, ["ssh"], ("strict", ["sudo"])),
        ("off", HAS, True, ["ssh", "sudo"], ("off", [])),
        ("baseline", {}, True, ["ssh"], ("off", [])),
    ],
)
def test_areas_are_added_to_and_taken_from_what_a_host_has(
    level: str, present: dict[str, Any], undo: bool, only: list[str], expected: tuple[str, list[str]]
) -> None:
    assert to_be(level, present, undo, only) == expected


def test_the_command_line_is_read_strictly() -> None:
    assert asked({"undo": True, "only": "ssh, sudo", "redis_port": 1}) == (True, ["ssh", "sudo"])
    assert asked({}) == (False, [])
    with pytest.raises(DeployError, match="undo: Input should be a valid boolean"):
        asked({"undo": "yes"})
    with pytest.raises(DeployError, match="only: there is no area 'sodu'; there are ssh, sudo"):
        asked({"only": "ssh,sodu"})


def test_whoever_undoes_is_told_what_keeps_it_undone() -> None:
    assert reminder("strict", True, []).startswith('hardening_level: set it to "off", or the next deploy makes it true')
    assert reminder("baseline", True, ["ssh", "sudo"]).startswith("hardening_areas: leave out ssh, sudo, or the next")
    assert reminder("off", True, []) == reminder("baseline", False, ["ssh"]) == ""
