"""Shows that a long step is alive: one live line on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tests.lab.cache import LabError

# Standard error, so that `mirror` and `env` print nothing but their result on standard output.
CONSOLE = Console(stderr=True, highlight=False)
HEARTBEAT_SECONDS = 5.0
Say = Callable[[str], None]


@contextmanager
def step(title: str) -> Iterator[Say]:
    """Announce a step, give it a function that reports its latest detail, and say how long it took."""
    started, latest, finished = time.monotonic(), [""], threading.Event()

    def text() -> str:
        detail = f": {latest[0]}" if latest[0] else ""
        return f"{title}{detail}"[: CONSOLE.width - 12] + f" ({time.monotonic() - started:.0f} s)"

    def say(detail: str) -> None:
        latest[0] = detail

    def beat() -> None:
        if CONSOLE.is_terminal:
            with CONSOLE.status(text()) as status:
                while not finished.wait(0.2):
                    status.update(text())
        else:
            while not finished.wait(HEARTBEAT_SECONDS):
                CONSOLE.print(f"  {text()}", markup=False)

    if not CONSOLE.is_terminal:
        CONSOLE.print(title, markup=False)
    ticker = threading.Thread(target=beat, daemon=True)
    ticker.start()
    try:
        yield say
    finally:
        finished.set()
        ticker.join()
        failed = sys.exc_info()[0] is not None
        CONSOLE.print(f"{title}: {'failed' if failed else 'done'} in {time.monotonic() - started:.1f} s", markup=False)


def run(
    command: Sequence[str | Path],
    say: Say,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detail: Callable[[str], str | None] = str.strip,
) -> str:
    """Run a command, show its output through `say`, and return it; a failure carries its last lines."""
    output: deque[str] = deque(maxlen=4000)
    with subprocess.Popen(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if shown := detail(line):
                say(shown)
    if process.returncode:
        tail = "".join(list(output)[-15:]).strip()
        raise LabError(f"'{' '.join(map(str, command[:4]))}' ended with status {process.returncode}:\n{tail}")
    return "".join(output)
