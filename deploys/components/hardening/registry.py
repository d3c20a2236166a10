"""Every control, in the order of their areas, and those that a host is to have."""

from __future__ import annotations

from datetime import date

from deploys.components.hardening import accounts, kernel, modes, services, ssh, sudo, system
from deploys.components.hardening.controls import Control
from deploys.components.hardening.settings import HardeningSettings
from deploys.lib.settings import nearest

CONTROLS: tuple[Control, ...] = (
    *ssh.CONTROLS, *sudo.CONTROLS, *accounts.CONTROLS, *kernel.CONTROLS, *system.CONTROLS, *modes.CONTROLS,
    *services.CONTROLS,
)  # fmt: skip


def asked_for(s: HardeningSettings) -> list[Control]:
    """Controls of the level and the areas of ``s``, those with a waiver too."""
    levels = {"off": (), "baseline": ("baseline",), "strict": ("baseline", "strict")}[s.level]
    return [control for control in CONTROLS if control.level in levels and control.area in s.areas]


def today() -> date:
    return date.today()


def problems(s: HardeningSettings) -> list[str]:
    """Waivers that name no control, or whose time is over."""
    known = {control.id for control in CONTROLS}
    found = []
    for number, waiver in enumerate(s.waivers):
        where = f"hardening_waivers[{number}]"
        if waiver.control not in known:
            found.append(f"{where}.control: there is no control {waiver.control!r}{nearest(waiver.control, known)}")
        elif date.fromisoformat(waiver.until) < today():
            found.append(
                f"{where}.until: the waiver for {waiver.control} was over on {waiver.until}; remove it, or say until "
                "when it is needed now"
            )
        elif waiver.control in [earlier.control for earlier in s.waivers[:number]]:
            found.append(f"{where}.control: {waiver.control} has a waiver already; keep one")
    return found
