"""For operations that take their time: how they ask a host meanwhile, wait for its work, and show what it does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS

from deploys import facts
from deploys.lib.steps import SHOW_SECONDS


def connector_arguments(one: Any) -> dict[str, Any]:
    """How the operation under way on host ``one`` runs its commands, for those that it runs by itself."""
    given: Any = one.current_op_global_arguments or {}
    return {key: given[key] for key in CONNECTOR_ARGUMENT_KEYS if key in given}


@dataclass
class Shown:
    """What was shown last, and when."""

    began: float
    at: float
    line: str = ""

    @classmethod
    def now(cls) -> Shown:
        began = time.monotonic()
        return cls(began, began)

    def show(self, line: str) -> None:
        """Show ``line`` to the person at the terminal, when it is time for it again."""
        now = time.monotonic()
        if now - self.at >= (SHOW_SECONDS if line != self.line else 3 * SHOW_SECONDS):
            logger.info(f"{host.print_prefix}{int(now - self.began)} s: {line}")
            self.at, self.line = now, line

    def rest(self) -> None:
        """Pause: briefly in the beginning, when most things end."""
        time.sleep(min(2.0, 0.2 + (time.monotonic() - self.began) / 10))


def watch(unit: str, folder: str) -> None:
    """Wait for a step's unit to end, and show what it is doing from time to time."""
    shown = Shown.now()
    while True:
        running, line = host.get_fact(facts.StepProgress, unit=unit, log=f"{folder}/log")
        if not running:
            return
        shown.show(line)
        shown.rest()
