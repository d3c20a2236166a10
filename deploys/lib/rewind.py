"""Going back to what cannot use the present data: which copy of the data comes back first, and how, over all hosts.

Users of the data stop everywhere, the host that keeps it exchanges it for the copy, the users go back one by one. When
any of that fails, all of it is taken back: the data as it was, and every user as it was, serving.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from shlex import quote
from typing import Any

from pyinfra import host, inventory, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from deploys import facts, operations
from deploys.lib.component import Component
from deploys.lib.ledger import RUN_ID, begins
from deploys.lib.rewinding import Rewind, decide
from deploys.lib.transaction import STATE
from deploys.operations import switch_back
from deploys.switch import Commands

# The whole site is asked once, by whichever host comes first.
_ASKING = threading.Lock()


def site(target: str, only: str, roots: Callable[[Any], str], components: Sequence[Component]) -> Rewind | list[str]:
    """What going back to ``target`` needs of the site's data, or why it cannot have that. The same for every host."""
    with _ASKING:
        return _site(target, only, roots, tuple(components))


@cache
def _site(target: str, only: str, roots: Callable[[Any], str], components: tuple[Component, ...]) -> Rewind | list[str]:
    hosts = {one.name: one for one in inventory if one in state.activated_hosts}
    asked = {name: one.get_fact(facts.Data, root=roots(one), run=target, only=only) for name, one in hosts.items()}
    groups = {component.name: inventory.get_group(component.hosts, []) for component in components}
    outside = {name: [one.name for one in members if one.name not in hosts] for name, members in groups.items()}

    def find(name: str, keeper: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        one = hosts[name]
        found: dict[str, Any] = one.get_fact(facts.Copy, keeper=keeper, root=roots(one), wanted=wanted)
        return found

    return decide(target, asked, outside, find)


def _step_names(way: Rewind) -> tuple[str, ...]:
    return tuple(f"{way.component} | {what}" for what in ("Stop", "Put its data back", "Go back"))


def failed(way: Rewind) -> str:
    """The first host on which what has begun went wrong, or that is out of this run; empty when there is none."""
    for one in state.inventory:
        if one.name not in (way.keeper_host, *way.users):
            continue
        if one not in state.active_hosts:
            return str(one.name)
        for op_hash, data in state.ops.get(one, {}).items():
            meta = data.operation_meta
            if meta.is_complete() and meta.did_error() and state.get_op_meta(op_hash).names & set(_step_names(way)):
                return str(one.name)
    return ""


def _exchanged(way: Rewind) -> bool:
    """Whether this run has put the copy in place."""
    keeper = state.inventory.get_host(way.keeper_host)
    return any(
        data.operation_meta.is_complete() and data.operation_meta.did_succeed()
        for op_hash, data in state.ops.get(keeper, {}).items()
        if _step_names(way)[1] in state.get_op_meta(op_hash).names
    )


def _store(way: Rewind, words: str) -> str:
    return f"sh {STATE}/served/{way.keeper}/store.sh {words}"


@operation()
def _stop(way: Rewind) -> Commands:
    if host.name not in way.users:
        host.noop("it does not use the data")
        return
    if state.is_executing and (where := failed(way)):
        yield StringCommand("echo", QuoteString(f"left as it was, because {where} failed"), ">&2;", "exit", "1")
        return
    yield _stopping(way)


def _stopping(way: Rewind) -> str:
    return (
        f"{begins(f'stop {way.component}')}unit=''; . {STATE}/served/{way.component}/plan; "
        '[ -z "$unit" ] || systemctl stop "$unit"'
    )


@operation()
def _stop_again(way: Rewind) -> Commands:
    """What has gone back already must not write into the data that it cannot use."""
    if host.name not in way.users or not state.is_executing or not failed(way) or not _exchanged(way):
        host.noop("it has gone back, or does not use the data")
        return
    yield _stopping(way)


@operation()
def _restore(way: Rewind, backup_root: str) -> Commands:
    if host.name != way.keeper_host:
        host.noop("it does not keep the data")
        return
    if state.is_executing and (where := failed(way)):
        yield StringCommand("echo", QuoteString(f"left as it was, because {where} failed"), ">&2;", "exit", "1")
        return
    keep = quote(f"{backup_root}/{RUN_ID}/database")
    yield from operations.step._inner(
        key=f"{way.keeper}-data",
        script=_store(way, f"restore {quote(way.folder)} {keep} {RUN_ID}"),
        unless=_store(way, f"restored {RUN_ID}"),
    )


@operation()
def _take_back(way: Rewind) -> Commands:
    if host.name != way.keeper_host or not state.is_executing or not failed(way):
        host.noop("the data stays as it is")
        return
    yield from operations.step._inner(
        key=f"{way.keeper}-undo",
        script=_store(way, f"undo {RUN_ID}"),
        # 1 is no; another status is that it cannot tell, and then it must be tried.
        unless=f"{_store(way, f'restored {RUN_ID}')}; [ $? = 1 ]",
    )


@operation()
def _as_before(way: Rewind, backup_root: str) -> Commands:
    if host.name not in way.users or not state.is_executing or not failed(way):
        host.noop("it has gone back, or does not use the data")
        return
    if not _went_well(way, f"{way.component} | Take its data back"):
        why = f"{way.component} stays stopped, because the data of before is not in its place"
        yield StringCommand("echo", QuoteString(why), ">&2;", "exit", "1")
        return
    root, _, run = way.users[host.name].rpartition("/")
    # What has gone back cannot use this data: where this fails it must not be started again.
    yield from switch_back(way.component, run, root, RUN_ID, backup_root, other_data=True)


@operation()
def _say(way: Rewind) -> Commands:
    """End this host's run with one sentence when anything went wrong."""
    if not state.is_executing or not (where := failed(way)):
        return
    if host.name in (way.keeper_host, *way.users):
        yield StringCommand("echo", QuoteString(way.ended(where, _undone(way))), ">&2;", "exit", "1")


def _undone(way: Rewind) -> bool:
    """Whether taking it back went well everywhere."""
    return _went_well(way, f"{way.component} | Take its data back", f"{way.component} | As before")


def _went_well(way: Rewind, *names: str) -> bool:
    """Whether operations ended well on every host they concern."""
    for one in state.inventory:
        if one.name not in (way.keeper_host, *way.users):
            continue
        for op_hash, data in state.ops.get(one, {}).items():
            meta = data.operation_meta
            if state.get_op_meta(op_hash).names & {*names} and not (meta.is_complete() and meta.did_succeed()):
                return False
    return True


def before(way: Rewind, backup_root: str) -> None:
    """Stop the users of the data everywhere, then exchange it for the copy."""
    stop, put, _ = _step_names(way)
    _stop(name=stop, way=way, _ignore_errors=True)
    operations.gate(name=f"{way.component} | Every user of the data is stopped")
    _restore(name=put, way=way, backup_root=backup_root, _ignore_errors=True)
    operations.gate(name=f"{way.component} | The data is as it was")


def after(way: Rewind, backup_root: str) -> None:
    """Take everything back when something failed, and end with one sentence."""
    operations.gate(name=f"{way.component} | Every user of the data has gone back")
    _stop_again(name=f"{way.component} | Stop again", way=way, _ignore_errors=True)
    operations.gate(name=f"{way.component} | Nobody uses the data that comes away again")
    _take_back(name=f"{way.component} | Take its data back", way=way, _ignore_errors=True)
    operations.gate(name=f"{way.component} | The data is what it was before")
    _as_before(name=f"{way.component} | As before", way=way, backup_root=backup_root, _serial=True, _ignore_errors=True)
    operations.gate(name=f"{way.component} | Every user of the data is as before")
    _say(name=f"{way.component} | Gone back", way=way)


def show(way: Rewind) -> None:
    """Tell the person who asked what comes back and what is lost, once."""
    if host.name == way.spokesman:
        for line in way.lines():
            logger.info(line)
