"""Our changes to a host. Each yields nothing when the host is already as wanted, so that a second run shows it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from shlex import quote

from pydantic import SecretStr
from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from deploys.facts import ComponentState, MissingPackages, StepProgress, Succeeds
from deploys.lib.transaction import STATE, Change, bundle, program_folder, reasons

Commands = Generator[str | StringCommand, None, None]

# How often a long step shows what it is doing, in seconds.
SHOW_SECONDS = 5.0

# Longer than any step takes that gets on: 40 GB of model at 3 MB/s. One that hangs holds up every later run until then.
STEP_SECONDS = 4 * 3600

# Where system programs look for certificate authorities. pip, uv and Node each bring a list of their own, which
# does not have a company's; these variables point all three at the host's.
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUST = {
    "SSL_CERT_FILE": CA_BUNDLE,
    "PIP_CERT": CA_BUNDLE,
    "REQUESTS_CA_BUNDLE": CA_BUNDLE,
    "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
}


@operation()
def packages(names: list[str]) -> Commands:
    """Install Debian packages that are missing, after mending what an interrupted installation left behind."""
    missing = host.get_fact(MissingPackages, names=names)
    if not missing:
        host.noop(f"packages {', '.join(names)} are installed")
        return
    # An interrupted installation of somebody else may have left dpkg half-way, or apt still at work: mend, then wait.
    options = "-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
    script = (
        "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a\n"
        '[ -z "$(dpkg --audit)" ] || dpkg --configure -a --force-confdef --force-confold\n'
        f"apt-get {options} -q update\n"
        f"apt-get {options} -q -y --no-install-recommends install {' '.join(map(quote, missing))}"
    )
    installed = " && ".join(
        f"[ \"$(dpkg-query -W -f '${{db:Status-Status}}' {quote(name)} 2>/dev/null)\" = installed ]" for name in names
    )
    yield from step._inner(key=f"packages-{names[0]}", script=script, unless=installed)


@operation()
def step(key: str, script: str, inputs: str = "", stdin: str = "", creates: str = "", unless: str = "") -> Commands:
    """Run ``script`` to its end on the host, once; again only when it, ``inputs`` or a failure say so.

    ``key`` names the step on the host. The script runs in a transient unit, so it ends although the controlling
    machine goes away, and the next run waits for it instead of starting it twice. It starts from nothing: it removes
    what an interrupted attempt left. The last line it prints is shown while it works. ``stdin`` is data for it, at
    ``$DATA``; neither the script nor the data may hold a secret. ``creates`` is a path that must still be there for
    the step to count as done; ``unless`` is a command that says whether it is done, instead of the digest.
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
        f"{_after(unit)} if {done}; then cat >/dev/null; exit 0; fi; {prepare}; "
        f"{_start(unit, folder)} -p RuntimeMaxSec={STEP_SECONDS} sh {folder}/run",
        _stdin=f"{step_text(script, folder, seal)}{boundary}\n{stdin}",
    )
    yield from _watch(unit, folder)
    yield (
        f"{{ {done}; }} || {{ tail -n 8 {folder}/log >&2; "
        f"echo 'the whole log is {folder}/log on the host' >&2; exit 1; }}"
    )


def step_text(script: str, folder: str, seal: str) -> str:
    """What a step's unit runs: ``script`` with its environment, and ``seal`` in ``folder``/done when it is over."""
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in TRUST.items())
    ended = f"ended from outside before it was over: by systemctl, or because it had taken {STEP_SECONDS // 3600} h"
    return (
        # Where Debian keeps proxy variables for everyone; a unit does not read it by itself.
        f"set -a; [ ! -r /etc/environment ] || . /etc/environment; set +a\n"
        f"trap {quote(f'echo {quote(ended)}; exit 1')} TERM\n"
        f"set -eu; umask 022; export HOME=/root DATA={folder}/data; {exports}"
        f"{script}\necho {seal} >{folder}/done.part; mv -f {folder}/done.part {folder}/done\n"
    )


def _after(unit: str) -> str:
    """Shell text that waits for a transient unit of an earlier run, or of another operator, to end.

    It holds a lock until the command is over, which then has started the unit anew: two that wait do not both go on.
    """
    lock = f"mkdir -p -m 0700 {STATE}; exec 9>{STATE}/lock; flock 9"
    wait = f"while systemctl is-active --quiet {unit}; do sleep 1; done"
    return f"{lock}; {wait}; systemctl reset-failed {unit} 2>/dev/null;"


def _start(unit: str, folder: str) -> str:
    """The beginning of a command line that runs something in a transient unit, with its output in ``folder``/log."""
    return (
        f"systemd-run --quiet --collect --unit={unit} --setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
        f"/sbin:/bin -p StandardOutput=truncate:{folder}/log -p StandardError=append:{folder}/log"
    )


def _watch(unit: str, folder: str) -> Commands:
    """Wait for a step's unit to end, and show what it is doing from time to time."""
    began = shown = time.monotonic()
    last = ""
    while True:
        running, line = host.get_fact(StepProgress, unit=unit, log=f"{folder}/log")
        now = time.monotonic()
        if not running:
            return
        if now - shown >= (SHOW_SECONDS if line != last else 3 * SHOW_SECONDS):
            logger.info(f"{host.print_prefix}{int(now - began)} s: {line}")
            shown, last = now, line
        time.sleep(min(2.0, 0.2 + (now - began) / 10))
    yield  # a generator, although it only waits


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
        f"umask 077; mkdir -p {STATE}/staged {STATE}/pending && chmod 0700 {STATE} && rm -rf {staged} {staged}.part && "
        f"mkdir {staged}.part && base64 -d | tar -xzf - -C {staged}.part && mv -T {staged}.part {staged}",
        _stdin=bundle(change),
    )
    unit, folder = f"portcullis-transact-{change.component}", f"{STATE}/switched/{change.component}.{run}"
    switch = f"{program_folder()}/transact {change.component} {run} {quote(backup_root)}"
    yield (
        f"{_after(unit)} umask 077; mkdir -p {folder}; "
        f"find {STATE}/switched -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {{}} +; "
        f"{_start(unit, folder)} sh -c {quote(f'{switch}; echo $? >{folder}/status')}"
    )
    yield from _watch(unit, folder)
    yield (
        f'if [ "$(cat {folder}/status 2>/dev/null)" = 0 ]; then cat {folder}/log; else '
        f"grep '^{change.component}: ' {folder}/log >&2 || tail -n 3 {folder}/log >&2; exit 1; fi"
    )


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
    if host.get_fact(Succeeds, command=command):
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
    if secret_stdin:
        yield StringCommand(command, _stdin=secret_stdin.get_secret_value())
    else:
        yield command


@operation()
def gate() -> Commands:
    """Nothing, on every host: what comes after it on one host waits for what comes before it on all of them.

    pyinfra orders operations of different hosts by the line they are called from, unless they share one. Without it
    a gateway would start before the database on another host is there.
    """
    yield from ()
