"""Having a host switch to what was laid out for it, and passing on what it says of that."""

from __future__ import annotations

from collections.abc import Generator
from shlex import quote
from typing import Any

from pyinfra import logger, state
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.exceptions import ConnectError

from deploys.confirm import follow
from deploys.lib.steps import after, start
from deploys.lib.transaction import STATE, UNDO_SECONDS, program_folder
from deploys.watch import watch

Commands = Generator[str | StringCommand | FunctionCommand, None, None]


def switch(component: str, run: str, backup_root: str, confirm_seconds: int = 0) -> Commands:
    """Start the switching program on what is staged, wait for its end, and pass on what it says.

    Where somebody has to connect anew, it is undone also when it is killed before that; so is what it leaves.
    """
    unit, folder = f"portcullis-transact-{component}", f"{STATE}/switched/{component}.{run}"
    program = f"{program_folder()}/transact {component} {run} {quote(backup_root)}"
    undo = f" -p TimeoutStopSec={UNDO_SECONDS} -p {quote(f'ExecStopPost={program} undo')}" if confirm_seconds else ""
    yield (
        f"{after(unit)} umask 077; mkdir -p {folder}; rm -f {folder}/status; "
        f"find {STATE}/switched -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {{}} +; "
        f"{start(unit, folder)}{undo} sh -c {quote(f'{program}; echo $? >{folder}/status')}"
    )
    why = ""
    if confirm_seconds and state.is_executing:
        try:
            why = follow(unit, folder, f"{STATE}/staged/{component}.{run}", confirm_seconds)
        except ConnectError as error:
            yield FunctionCommand(_lost, (str(error),), {})
            return
    else:
        watch(unit, folder)
    end = quote(f" (a new connection: {why})") if why else "''"
    yield (
        f'if [ "$(cat {folder}/status 2>/dev/null)" = 0 ]; then cat {folder}/log; else '
        f"said=$(grep '^{component}: ' {folder}/log || tail -n 3 {folder}/log); printf '%s%s\\n' \"$said\" {end} >&2; "
        "exit 1; fi"
    )


def _lost(state: Any, host: Any, sentence: str) -> bool:
    """End this host's run with a sentence of ours: it cannot be asked to say one."""
    logger.error(f"{host.print_prefix}{sentence}")
    return False
