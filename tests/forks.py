"""A Python program run over and over, without starting Python and importing what it needs each time."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# Runs in a process of its own, which forks one for each time. What the prelude imports may put others in place of what
# is forked with, so that is taken first.
SERVER = r"""
import json, os, signal, sys, tempfile, traceback
from os import _exit, fork, waitpid

exec(sys.argv.pop())

def play(asked, number):
    code = 1
    try:
        signal.alarm(asked["seconds"])
        os.environ.clear(), os.environ.update(asked["environment"])
        os.chdir(asked["cwd"])
        sys.argv = asked["words"]
        run(asked, number)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        _exit(code)

for line in sys.stdin:
    asked = json.loads(line)
    prepare(asked)
    files = [tempfile.TemporaryFile() for _ in range(3)]
    pid = fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(files[0].fileno(), 1), os.dup2(files[1].fileno(), 2)
        play(asked, files[2].fileno())
    code = os.waitstatus_to_exitcode(waitpid(pid, 0)[1])
    said = []
    for file in files:
        file.seek(0)
        said.append(file.read())
        file.close()
    print(json.dumps([code, said[0].decode(), said[1].decode(), int.from_bytes(said[2], "big")]), flush=True)
"""


class Server:
    """Runs what ``prelude`` defines: `prepare(asked)` in the process that stays, and `run(asked, number)` in one of its
    own, with the file descriptor of a number that is given back. What the prelude imports is imported once."""

    def __init__(self, prelude: str, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-c", SERVER, prelude]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        atexit.register(self._end)

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: str = "/", seconds: int = 30, **more: Any
    ) -> tuple[int, str, str, int]:
        """One run of ``words``: its exit code, what it said, what it said as an error, and the number."""
        asked = {"words": list(words), "environment": dict(environment), "cwd": cwd, "seconds": seconds, **more}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code, out, error, number = json.loads(self._process.stdout.readline())
        return code, out, error, number

    def _end(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
