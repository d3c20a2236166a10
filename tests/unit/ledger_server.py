"""The ledger's program run over and over without starting Python each time, and killed before any step it takes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.forks import Server

# The program is read anew each time, with its variables; what is compiled of it is kept by its text.
PRELUDE = r"""
import __future__, builtins, datetime, difflib, grp, hashlib, io, json, os, pathlib, pwd, re, shutil, signal, subprocess
import sys, time, typing
from importlib.machinery import FileFinder, SourceFileLoader

COMPILED = {}

def compiled(path):
    text = pathlib.Path(path).read_text()
    if text not in COMPILED:
        COMPILED[text] = compile(text, path, "exec", dont_inherit=True)
    return COMPILED[text]

class Kept(SourceFileLoader):
    def get_code(self, fullname):
        return compiled(self.path)

def prepare(asked):
    for path in pathlib.Path(asked["words"][0]).parent.glob("ledger*"):
        if path.is_file():
            compiled(str(path))

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

def run(asked, steps):
    program = asked["words"][0]
    sys.path_hooks.insert(0, FileFinder.path_hook((Kept, [".py"])))
    sys.path.insert(0, os.path.dirname(program))
    code = compiled(program)
    armed(asked["kill_before"], steps)
    exec(code, {"__name__": "__main__", "__file__": program})
"""


@cache
def _server() -> Server:
    return Server(PRELUDE)


def served(
    program: Path, words: tuple[str, ...], environment: dict[str, str], kill_before: int = 0
) -> tuple[int, str, str, int]:
    """Run ``program``: its exit code, what it said, what it said as an error, and how many steps it took.

    It is killed before its step ``kill_before`` that changes the disk, when it takes so many; steps begin at 1.
    """
    return _server().run([str(program), *words], environment, kill_before=kill_before)
