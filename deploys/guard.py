"""What pyinfra is taught before a run: to stop without hosts, and to ask late what is done when it leaves one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pyinfra import state
from pyinfra.api.exceptions import PyinfraError

# What the command line said, by option. Kept, because only the main greenlet can ask click for it, and deploys run in
# others.
ARGUMENTS: dict[str, Any] = {}


def why_no_hosts(arguments: dict[str, Any], in_inventory: int, chosen: Sequence[object] | None) -> str:
    """Why a run has no host to work on; empty when it has one.

    ``arguments`` are those of pyinfra's command line, ``in_inventory`` is how many hosts the inventory has, and
    ``chosen`` those that --limit and --exclude leave; None when neither was given.
    """
    inventory = str(arguments.get("inventory", "the inventory"))
    if not in_inventory:
        if inventory.endswith(".py") and not Path(inventory).is_file():
            return f"there is no inventory file {inventory}; nothing was changed"
        return f"{inventory} has no hosts; nothing was changed"
    if chosen is not None and not chosen:
        words = [f"--{name} {value}" for name in ("limit", "exclude") for value in arguments.get(name) or ()]
        return f"{' '.join(words)} leaves none of the {in_inventory} hosts of {inventory}; nothing was changed"
    return ""


def why_no_inventory(inventory: str) -> str:
    """Why ``inventory`` of the command line cannot be read as one; empty when pyinfra may try."""
    if not Path(inventory).is_dir():
        return ""
    files = ", ".join(sorted(str(path) for path in Path(inventory).glob("*.py")))
    return f"{inventory} is a folder, not an inventory; name one file{f' of {files}' if files else ''}"


def leave_late(one: Any) -> None:
    """Let pyinfra look when it leaves a host, and not before, what is done then: ``one.leave``, which a run replaces.

    It picks up ``disconnect`` of a host and may have to wait then until another one is done: what was put in its place
    meanwhile would never be called.
    """
    one.leave, one.left = one.disconnect, False

    def disconnect() -> None:
        one.left = True
        one.leave()

    one.disconnect = disconnect


def refuse_to_run_without_hosts() -> None:
    """Let pyinfra's state refuse to begin without hosts, which pyinfra itself ends as a success.

    Called from config.py, which pyinfra reads before that.
    """
    arguments = context.params if (context := click.get_current_context(silent=True)) else {}
    ARGUMENTS.update(arguments)
    # pyinfra would read the folder as a file, and end with a traceback.
    if why := why_no_inventory(str(arguments.get("inventory", "inventories/none.py"))):
        raise PyinfraError(f"{why}; nothing was changed")
    begin: Callable[..., None] = state.init

    def init(inventory: Any, config: Any, initial_limit: Sequence[object] | None = None) -> None:
        if why := why_no_hosts(ARGUMENTS, len(inventory), initial_limit):
            raise PyinfraError(why)
        begin(inventory, config, initial_limit=initial_limit)
        for one in inventory:
            leave_late(one)

    state.init = init  # type: ignore[method-assign]
