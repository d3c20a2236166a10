"""Our changes to a host. Each yields nothing when the host is already as wanted, so that a second run shows it."""

from __future__ import annotations

import hashlib
from shlex import quote
from typing import Any

from pydantic import SecretStr
from pyinfra import host, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from deploys.facts import Answer, ComponentState, MissingPackages, Succeeds
from deploys.lib.bundle import Change, bundle
from deploys.lib.component import Probe
from deploys.lib.ledger import begins
from deploys.lib.steps import STEP_SECONDS, after, start, step_text
from deploys.lib.transaction import STATE, program_folder, reasons
from deploys.switch import Commands, switch
from deploys.watch import watch


@operation()
def packages(names: list[str]) -> Commands:
    """Install Debian packages that are missing, after mending what an interrupted installation left behind.

    None is removed for it: somebody's own engine, or another program that does not go together with what is wanted.
    """
    missing = host.get_fact(MissingPackages, names=names)
    if not missing:
        host.noop(f"packages {', '.join(names)} are installed")
        return
    # An interrupted installation of somebody else may have left dpkg half-way, or apt still at work: mend, then wait.
    options = "-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
    install = f"--no-install-recommends install {' '.join(map(quote, missing))}"
    script = (
        "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a\n"
        '[ -z "$(dpkg --audit)" ] || dpkg --configure -a --force-confdef --force-confold\n'
        f"apt-get {options} -q update\n"
        f"lost=$(apt-get -s {install} 2>/dev/null | awk '$1 == \"Remv\" {{ print $2 }}' | sort | paste -s -d ' ')\n"
        f'[ -z "$lost" ] || {{ echo "{" ".join(missing)} cannot be installed beside $lost, which apt would remove; '
        'remove what nothing needs, or use another host"; exit 1; }\n'
        f"apt-get {options} -q -y --no-remove {install}"
    )
    installed = " && ".join(
        f"[ \"$(dpkg-query -W -f '${{db:Status-Status}}' {quote(name)} 2>/dev/null)\" = installed ]" for name in names
    )
    yield from step._inner(key=f"packages-{names[0]}", script=script, unless=installed)


@operation()
def step(
    key: str,
    script: str,
    inputs: str = "",
    stdin: str = "",
    creates: str = "",
    unless: str = "",
    noted: bool = True,
    seconds: int = STEP_SECONDS,
) -> Commands:
    """Run ``script`` to its end on the host, once; again only when it, ``inputs`` or a failure say so.

    ``key`` names the step on the host. The script runs in a transient unit, so it ends although the controlling
    machine goes away, and the next run waits for it instead of starting it twice. It starts from nothing: it removes
    what an interrupted attempt left. The last line it prints is shown while it works. ``stdin`` is data for it, at
    ``$DATA``; neither the script nor the data may hold a secret. ``creates`` is a path that must still be there for
    the step to count as done; ``unless`` is a command that says whether it is done, instead of the digest. What changes
    nothing that a rollback would take back is not ``noted`` in the ledger, and needs no lock. It is ended when it has
    taken ``seconds``.
    """
    seal = hashlib.sha256(f"{script}\0{inputs}\0{stdin}".encode()).hexdigest()
    folder, unit = f"{STATE}/steps/{key}", f"portcullis-step-{key}"
    done = unless or f'[ "$(cat {folder}/done 2>/dev/null)" = {seal} ]' + (f" && [ -e {creates} ]" if creates else "")
    if host.get_fact(Succeeds, command=done):
        host.noop(f"{key} is done")
        return
    boundary = "-- data --"
    prepare = (
        f"install -d -m 0755 {STATE}/steps {folder}; rm -f {folder}/done; cat >{folder}/input; "
        f"sed '/^{boundary}$/,$d' {folder}/input >{folder}/run; sed '1,/^{boundary}$/d' {folder}/input >{folder}/data"
    )
    yield StringCommand(
        # What an interrupted run left at work may just have done it.
        f"{begins(key) if noted else ''}{after(unit)} if {done}; then cat >/dev/null; exit 0; fi; {prepare}; "
        f"{start(unit, folder)} -p RuntimeMaxSec={seconds} sh {folder}/run",
        _stdin=f"{step_text(script, folder, seal, seconds)}{boundary}\n{stdin}",
    )
    watch(unit, folder)
    yield (
        f"{{ {done}; }} || {{ tail -n 8 {folder}/log >&2; "
        f"echo 'the whole log is {folder}/log on the host' >&2; exit 1; }}"
    )


@operation()
def converge(change: Change, run: str, backup_root: str) -> Commands:
    """Put a component's files in place, checked, used by its service and ready; or leave everything as it was.

    The host does the work itself (``payload/host/transact``): a controlling machine that dies in the middle leaves
    neither half a change nor an unchecked one behind.
    """
    found = host.get_fact(ComponentState, change=change)
    why = reasons(change, found)
    if not why:
        host.noop(f"{change.component} is as wanted")
        return
    if state.is_executing and (failed := _failed_elsewhere()):
        yield StringCommand("echo", QuoteString(f"left as it was, because {failed} failed"), ">&2;", "exit", "1")
        return
    staged = f"{STATE}/staged/{change.component}.{run}"
    yield StringCommand(
        f"{begins(change.component)}umask 077; mkdir -p {STATE}/staged {STATE}/pending && chmod 0700 {STATE} && "
        f"rm -rf {staged} {staged}.part && "
        f"mkdir {staged}.part && base64 -d | tar -xzf - -C {staged}.part && mv -T {staged}.part {staged}",
        _stdin=bundle(change),
    )
    yield from switch(change.component, run, backup_root, change.confirm_seconds)


@operation()
def go_back(
    component: str, target: str, part: dict[str, Any] | None, run: str, backup_root: str, other_data: bool = False
) -> Commands:
    """Put everything of ``component`` back as it was after the run ``target``, checked, used and ready.

    ``part`` is what the host's ledger says would change; None when that is nothing. With ``other_data`` what serves
    now cannot go on with the data that was put in place for this: it stays stopped when this fails.
    """
    if part is None:
        host.noop(f"{component} is as it was")
        return
    if state.is_executing and (failed := _failed_elsewhere()):
        yield StringCommand("echo", QuoteString(f"left as it was, because {failed} failed"), ">&2;", "exit", "1")
        return
    seconds = part.get("confirm_seconds", 0)
    yield from switch_back(component, target, backup_root, run, backup_root, other_data, seconds)


def switch_back(
    component: str,
    target: str,
    root: str,
    run: str,
    backup_root: str,
    other_data: bool = False,
    confirm_seconds: int = 0,
) -> Commands:
    """Switch to what ``component`` had after the run ``target``, which the ledger in ``root`` has."""
    staged = f"{STATE}/staged/{component}.{run}"
    ledger = f"{program_folder()}/ledger"
    yield (
        f"{begins(f'{component} back to {target}')}umask 077; mkdir -p {STATE}/pending; "
        f"{ledger} stage {quote(root)} {target} {component} {staged}{' data' if other_data else ''}"
    )
    yield from switch(component, run, backup_root, confirm_seconds)
    yield f'said=$({ledger} tell {quote(root)} {target} {component}) || {{ echo "$said" >&2; exit 1; }}'


def _failed_elsewhere() -> str:
    """Name of a host on which the operation that runs now has failed already: one gateway at a time, and no further."""
    for other in state.inventory:
        if other is host or host.current_op_hash not in state.ops.get(other, {}):
            continue
        meta = state.get_op_data_for_host(other, host.current_op_hash).operation_meta
        if meta.is_complete() and meta.did_error():
            return str(other.name)
    return ""


@operation()
def wait_until(command: str, seconds: int, otherwise: str) -> Commands:
    """Wait until ``command`` exits 0; after ``seconds`` fail with its last line and the sentence ``otherwise``."""
    # A component that has nothing on this host has nothing to wait for either.
    if command == "true" or host.get_fact(Succeeds, command=command):
        host.noop("already true")
        return
    yield (
        f"end=$(($(date +%s) + {seconds})); while ! out=$( ( {command} ) 2>&1 ); do "
        f"if [ $(date +%s) -ge $end ]; then printf '%s\\n' \"$out\" | tail -n 1 >&2; "
        f"echo {quote(otherwise)} >&2; exit 1; fi; "
        "sleep 1; done"
    )


@operation()
def unless(test: str, command: str, secret_stdin: SecretStr | None = None) -> Commands:
    """Run ``command`` unless ``test`` exits 0. ``secret_stdin`` is what it reads, and appears in no log.

    pyinfra keeps the arguments of an operation and may show them; a SecretStr becomes text on its way to the host only.
    """
    if host.get_fact(Succeeds, command=test):
        host.noop("already true")
        return
    noted = f"{begins('tell it once it answers')}{command}"
    if secret_stdin:
        yield StringCommand(noted, _stdin=secret_stdin.get_secret_value())
    else:
        yield noted


@operation()
def asked(probe: Probe, unless: str) -> Commands:
    """Ask ``probe`` when its turn comes, unless the command ``unless`` succeeds, and stop there if its judge says so.

    For what can be asked only after earlier operations: before the run, it would be one of the refusals.
    """
    if not state.is_executing or host.get_fact(Succeeds, command=unless):
        return
    passed, detail, _ = host.get_fact(Answer, probe=probe)
    why = (probe.judge(detail) if probe.judge else "") if passed else detail or probe.name
    if why:
        yield StringCommand("echo", QuoteString(why), ">&2;", "exit", "1")


@operation()
def gate() -> Commands:
    """Nothing, on every host: what comes after it on one host waits for what comes before it on all of them.

    pyinfra orders operations of different hosts by the line they are called from, unless they share one. Without it
    a gateway would start before the database on another host is there.
    """
    yield from ()
