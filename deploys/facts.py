"""Our questions to a host. Each ends in success, so that a missing program or file is an answer and not a failure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any, cast

from pyinfra.api import FactBase

from deploys.lib import bill, ledger
from deploys.lib.bundle import Change
from deploys.lib.component import Probe
from deploys.lib.sizing import Machine
from deploys.lib.transaction import STATE, State, parse, question

# What the kernel keeps for itself varies by a few MiB with its version, and sizes are shares of what it leaves: taken
# to the MiB, every service would be restarted for that.
MEMORY_STEP_MB = 256
# Such as a host that was added to the site later.
NO_LEDGER = "no run has left anything here to go back to; leave this host out with --exclude"


class Hardware(FactBase[Machine]):
    """Processors the host has, and its memory in whole steps of 256 MiB."""

    def command(self) -> str:
        return "nproc; awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo"

    def process(self, output: list[str]) -> Machine:
        return Machine(int(output[0]), int(output[1]) // MEMORY_STEP_MB * MEMORY_STEP_MB)


class Release(FactBase[dict[str, str]]):
    """Fields of /etc/os-release; ARCH, the machine's architecture; INIT, the name of process 1; NAME_SERVERS."""

    default = dict

    def command(self) -> str:
        return (
            "cat /etc/os-release; echo ARCH=$(uname -m); echo INIT=$(cat /proc/1/comm); "
            "echo NAME_SERVERS=$(sed -n 's/^nameserver *//p' /etc/resolv.conf 2>/dev/null)"
        )

    def process(self, output: list[str]) -> dict[str, str]:
        pairs = (line.partition("=") for line in output if "=" in line)
        return {name: value.strip("\"'") for name, _, value in pairs}


class ListeningPorts(FactBase[dict[int, str]]):
    """Listening TCP ports and the name of a process that holds each, for ports something listens on."""

    default = dict

    def command(self) -> str:
        return "ss -Hltnp 2>/dev/null || true"

    def process(self, output: list[str]) -> dict[int, str]:
        ports = {}
        for line in output:
            columns = line.split()
            if len(columns) < 4:
                continue
            port = columns[3].rpartition(":")[2]
            owner = line.partition('users:(("')[2].partition('"')[0]
            if port.isdigit():
                ports[int(port)] = owner or "an unnamed process"
        return ports


class ComponentState(FactBase[State]):
    """What the host has of a component's files and unit."""

    def command(self, change: Change) -> str:
        return question(change)

    def process(self, output: list[str]) -> State:
        return parse(output)


class MissingPackages(FactBase[list[str]]):
    """Which of the named packages are not completely installed."""

    default = list

    def command(self, names: list[str]) -> str:
        words = " ".join(quote(name) for name in names)
        return (
            f"for name in {words}; do "
            '[ "$(dpkg-query -W -f \'${db:Status-Status}\' "$name" 2>/dev/null)" = installed ] || echo "$name"; '
            "done"
        )

    def process(self, output: list[str]) -> list[str]:
        return output


class Succeeds(FactBase[bool]):
    """Whether a shell command exits 0."""

    default = bool

    def command(self, command: str) -> str:
        return f"if ( {command} ) >/dev/null 2>&1; then echo yes; else echo no; fi"

    def process(self, output: list[str]) -> bool:
        return output[-1:] == ["yes"]


class Encoded(FactBase[str]):
    """A file of the host as base64 text; empty when there is none."""

    def command(self, path: str) -> str:
        return f"base64 {quote(path)} 2>/dev/null || true"

    def process(self, output: list[str]) -> str:
        return "\n".join(output)


class Answer(FactBase[tuple[bool, str, int]]):
    """A probe's answer: whether it exited 0, its last line, and how long it took in milliseconds."""

    def command(self, probe: Probe) -> str:
        body = quote(probe.command)
        return (
            f"t=$(date +%s%N); out=$(timeout {probe.seconds} sh -c {body} 2>&1 </dev/null); rc=$?; "
            "printf '%s\\n' \"$out\" | tail -n 1; echo $rc; echo $((($(date +%s%N) - t) / 1000000))"
        )

    def process(self, output: list[str]) -> tuple[bool, str, int]:
        *lines, status, milliseconds = output
        detail = lines[-1] if lines else ""
        if status == "124" and not detail:
            detail = "no answer in time"
        return status == "0", detail, int(milliseconds)


class Bill(FactBase[str]):
    """Lines of a host's bill of materials (``lib/bill.py``)."""

    default = str

    def command(self, commands: Mapping[str, Sequence[str]]) -> str:
        return bill.question(commands)


class StepProgress(FactBase[tuple[bool, str]]):
    """Whether a step's unit still runs, and the last line of its log in at most 120 characters."""

    @staticmethod
    def default() -> tuple[bool, str]:
        """For a host that does not answer: what is asked next then fails, in words."""
        return False, ""

    def command(self, unit: str, log: str) -> str:
        return (
            f"systemctl is-active {unit} || true; "
            f"tail -c 2000 {log} 2>/dev/null | tr '\\r' '\\n' | grep -v '^ *$' | tail -n 1 | cut -c 1-120; true"
        )

    def process(self, output: list[str]) -> tuple[bool, str]:
        return output[0] in ("active", "activating", "deactivating"), output[1] if len(output) > 1 else ""


class TakenLock(FactBase[ledger.Taken]):
    """Takes the host's lock for this run, before anything is asked that the run relies on; or says who holds it."""

    def command(self, text: dict[str, Any], instead_of: str) -> str:
        return ledger.take(text, instead_of)

    def process(self, output: list[str]) -> ledger.Taken:
        return ledger.taken(output)


class LetGo(FactBase[str]):
    """Ends this run in the host's ledger and lets its lock go; empty, or why the end could not be noted."""

    default = str

    def command(self, outcome: str, problem: str) -> str:
        return f"( {ledger.let_go(outcome, problem)} ) 2>&1 | tail -n 1"

    def process(self, output: list[str]) -> str:
        return "".join(output[-1:])


class Ledger(FactBase[list[dict[str, Any]]]):
    """Every run the host has seen, the first one first; nothing where no run has left anything."""

    default = list

    def command(self, root: str) -> str:
        return f"{ledger.there()}; if [ -x \"$ledger\" ]; then $ledger list {quote(root)}; else echo '[]'; fi"

    def process(self, output: list[str]) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], json.loads("\n".join(output)))


class WayBack(FactBase[dict[str, Any]]):
    """What going back to a run would change on the host, once the data of the component ``data`` is as it was."""

    def command(self, root: str, run: str, only: str, data: str = "") -> str:
        none = {"run": "", "components": [], "problems": [NO_LEDGER]}
        asked = f"$ledger plan {quote(root)} {quote(run)} {quote(only)}{f' {data}' if data else ''}"
        return f'{ledger.there()}; if [ -x "$ledger" ]; then {asked}; else echo {quote(json.dumps(none))}; fi'

    def process(self, output: list[str]) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads("\n".join(output)))


class Data(FactBase[dict[str, Any]]):
    """Whether the data elsewhere serves the host's components as they were after a run, and what the host keeps."""

    default = dict

    def command(self, root: str, run: str, only: str) -> str:
        # A host's ledger of an earlier revision does not know the question, and the guards of its runs say what it is.
        asked = f"$ledger data {quote(root)} {quote(run)} {quote(only)} 2>/dev/null"
        return f"{ledger.there()}; [ -x \"$ledger\" ] && {asked} || echo '{{}}'"

    def process(self, output: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads("\n".join(output))
        return found


class Copy(FactBase[dict[str, Any]]):
    """The newest copy of the data that serves what is wanted; or `problem`, why there is none."""

    def command(self, keeper: str, root: str, wanted: Mapping[str, Any]) -> str:
        asked = f"sh {STATE}/served/{keeper}/store.sh match {quote(root)} {quote(json.dumps(wanted))}"
        return f"{asked} 2>&1 | tail -n 1"

    def process(self, output: list[str]) -> dict[str, Any]:
        said = output[-1] if output else "nothing was answered"
        problem = {"problem": said.partition(": ")[2] or said}
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else problem
        return found


class Verified(FactBase[list[dict[str, Any]]]):
    """The host's answers to what `verify` asked when its present state was made."""

    default = list

    def command(self, only: str) -> str:
        return f"{ledger.there()}; $ledger verify {quote(only)}"

    def process(self, output: list[str]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in output if line.startswith("{")]
