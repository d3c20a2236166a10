"""The ledger's program run over and over without starting Python each time, and killed before any step it takes."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

# Runs in a process of its own, which forks one for each time: that one reads the program anew, with its variables.
SERVER = r"""
import builtins, difflib, grp, hashlib, io, json, os, pathlib, pwd, runpy, shutil, signal, subprocess, sys, tempfile

def armed(limit, steps):
    # Counts what changes a disk, and kills its process before the step `limit`.
    def counted(call):
        def called(*given, **named):
            done = int.from_bytes(os.pread(steps, 4, 0), "big") + 1
            os.pwrite(steps, done.to_bytes(4, "big"), 0)
            if done == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)
        return called
    for name in "fsync link mkdir remove rename replace rmdir symlink unlink utime".split():
        setattr(os, name, counted(getattr(os, name)))
    plain, marked, emptied = io.open, counted(io.open), counted(lambda: None)
    def opened(file, mode="r", *given, **named):
        if set("wax+").isdisjoint(mode):
            return plain(file, mode, *given, **named)
        found = marked(file, mode, *given, **named)
        emptied()  # what is written comes to the disk later
        return found
    io.open = builtins.open = opened

for line in sys.stdin:
    asked = json.loads(line)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as steps:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.alarm(30)
                os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
                os.environ.clear(), os.environ.update(asked["environment"])
                program = asked["words"][0]
                sys.argv, sys.dont_write_bytecode = asked["words"], True
                sys.path.insert(0, os.path.dirname(program))
                armed(asked["kill_before"], steps.fileno())
                runpy.run_path(program, run_name="__main__")
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = []
        for file in (out, err, steps):
            file.seek(0)
            said.append(file.read())
        answer = [status, said[0].decode(), said[1].decode(), int.from_bytes(said[2], "big")]
        print(json.dumps(answer), flush=True)
"""


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end() -> None:
        assert server.stdin and server.stdout
        server.stdin.close()
        server.wait()
        server.stdout.close()

    atexit.register(end)
    return server


def served(program: Path, words: tuple[str, ...], environment: dict[str, str], kill_before: int = 0) -> list[Any]:
    """Run ``program``: its exit code, what it said, what it said as an error, and how many steps it took.

    It is killed before its step ``kill_before`` that changes the disk, when it takes so many; steps begin at 1.
    """
    server = _server()
    assert server.stdin and server.stdout
    asked = {"words": [str(program), *words], "environment": environment, "kill_before": kill_before}
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    found: list[Any] = json.loads(server.stdout.readline())
    return found
