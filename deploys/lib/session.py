"""A run's hold on its hosts: the lock it takes before it looks closer, and what it says and lets go at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyinfra import logger, state
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_host

from deploys import facts
from deploys.guard import ARGUMENTS
from deploys.lib import ledger
from deploys.lib.host_settings import HostSettings


def only_looks() -> bool:
    """Whether the run only says what it would do."""
    return bool(ARGUMENTS.get("dry"))


def _command() -> str:
    """What was started, without the values of ``--data``, which may be anybody's."""
    words = [str(word) for word in ARGUMENTS.get("operations") or ()]
    words += [f"--limit {one}" for one in ARGUMENTS.get("limit") or ()]
    return " ".join([*words, *(f"--data {one.partition('=')[0]}" for one in ARGUMENTS.get("data") or ())])


def hold(one: Any, settings: HostSettings, kind: str) -> str:
    """Take the lock of a host, and let it go when pyinfra disconnects; why it could not be taken, in a sentence."""
    if only_looks():
        return ""
    # Asks git, and the other hosts go on meanwhile.
    text = ledger.lock(kind, _command(), settings.backup_root, settings.backup_keep_runs, settings.backup_keep_days)
    # Another host's refusal ends the run for all, and pyinfra may have left this one already.
    if one.left or not one.connected:
        return ""
    # Before the lock is taken: another host's refusal may end the run while this one is about to.
    keep, over = _let_go_at_the_end(one)
    # A host that is only imagined (@fake) answers nothing.
    answer = one.get_fact(facts.TakenLock, text=text, instead_of=settings.take_over) or ledger.Taken()
    # A deploy waits for what a dead run left at work on the host. Going back is planned from how the host is now, which
    # that would change.
    free = kind == "deploy" or not answer.at_work
    if answer.held and answer.held["run"] != settings.take_over and ledger.is_dead(answer.held) and free:
        logger.info(f"{one.print_prefix}run {answer.held['run']} of this machine died with the lock: it is taken over")
        answer = one.get_fact(facts.TakenLock, text=text, instead_of=answer.held["run"])
    if answer.held:
        keep()
        return ledger.explain(one.name, answer)
    if over:
        # pyinfra has left the host meanwhile: at once, then.
        _let_go_at_the_end(one)
        one.disconnect()
    return ""


def _let_go_at_the_end(one: Any) -> tuple[Callable[[], None], list[str]]:
    """pyinfra disconnects whatever happened, also when it was interrupted; what it calls afterwards comes too late.

    Returns what takes that back, for a lock that was not given; and a list that is not empty once it has happened.
    """
    leave = one.leave
    over: list[str] = []

    def keep() -> None:
        one.leave = leave

    def finish() -> None:
        over.append(one.name)
        outcome, problem = ended(one)
        try:
            with ctx_host.use(one):
                said = one.get_fact(facts.LetGo, outcome=outcome, problem=problem)
            if said != "":
                logger.warning(f"{one.print_prefix}the end of this run was not noted: {said}")
        except (PyinfraError, OSError, EOFError) as error:
            logger.warning(f"{one.print_prefix}the end of this run was not noted, and its lock was not let go: {error}")
        finally:
            keep()
            leave()

    one.leave = finish
    return keep, over


def ended(one: Any) -> tuple[str, str]:
    """How the run ended on a host: `done`, `failed` with what failed there, or `interrupted`."""
    if not state.is_executing:
        return "interrupted", ""
    for op_hash, data in state.ops.get(one, {}).items():
        meta = data.operation_meta
        name = ", ".join(sorted(state.get_op_meta(op_hash).names))
        if not meta.is_complete():
            return ("failed", f"before: {name}") if one in state.failed_hosts else ("interrupted", f"before: {name}")
        if meta.did_error():
            lines = [line for line in meta.stderr_lines if line.strip()]
            return "failed", f"{name}: {lines[-1].strip()[:300]}" if lines else name
    return "done", ""
