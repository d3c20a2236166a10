"""A change that could shut everybody out, confirmed over a connection made anew; without one the host undoes it.

The host waits, and puts back by itself what nobody has confirmed in time (payload/host/transact-confirm). Meanwhile
nothing can be relied on here: the connection of the run may be cut off, and its user no longer become root. So a
question takes a few seconds at most, asks nobody for a password, and an answer that does not come is no failure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from paramiko import SSHException
from pyinfra import host, logger, state
from pyinfra.api import StringCommand
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.sshuserclient.client import get_host_keys
from pyinfra.connectors.util import extract_control_arguments, make_unix_command_for_host

from deploys.facts import StepProgress
from deploys.lib.transaction import UNDO_SECONDS
from deploys.watch import Shown, connector_arguments

# What the host says while it waits; payload/host/transact-confirm.
WAITING, FOR_A_CONNECTION = "waiting ", " s for a new connection"
# How long one question may take, in seconds, the connection included.
QUESTION_SECONDS = 10
# How long a host may be silent beyond the time in which somebody has to connect anew: its check, its service's start
# before that, and going back after it as long as that usually takes.
SILENCE_SECONDS = 300
UNREACHABLE = (OSError, EOFError, SSHException, PyinfraError)


def follow(unit: str, folder: str, staged: str, seconds: int) -> str:
    """Wait for a switch to end, and confirm it when the host waits for that.

    Returns why no new connection came about, in words; empty when one did, or none was asked for. Raises ConnectError
    when the host has been silent for longer than it takes to undo everything.
    """
    # What goes wrong with a connection is an exception here as well; paramiko would show it with a traceback.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    one = state.inventory.get_host(host.name)
    question = StepProgress().command(unit, f"{folder}/log")
    shown, heard, why, waits = Shown.now(), time.monotonic(), "", True
    while True:
        try:
            answer = _ask_somehow(one, question)
        except UNREACHABLE as error:
            why = _words(error)
            if time.monotonic() - heard > seconds + SILENCE_SECONDS:
                _hang_up(one.connector)
                raise ConnectError(
                    f"no answer for {seconds + SILENCE_SECONDS} s: the host puts back what nobody has confirmed, in "
                    f"{UNDO_SECONDS // 60} minutes at most; try again then, or look at it from its console (a new "
                    f"connection: {why})"
                ) from None
            shown.show("no answer; the host puts back by itself what nobody confirms")
        else:
            heard = time.monotonic()
            running, line = StepProgress().process(answer) if answer else StepProgress.default()
            if not running:
                return why
            if waits and line.startswith(WAITING) and line.endswith(FOR_A_CONNECTION):
                why = _confirm(one, staged)
                waits = bool(why)
            if waits:
                shown.show(f"{line}: {why}" if why else line)
        shown.rest()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _confirm(one: Any, staged: str) -> str:
    """Say on the host, over a connection made now, that there is one. Why that did not work, in words."""
    try:
        with _anew(one) as connector:
            said = _run(connector, f"[ -d {staged} ] && : >{staged}/confirmed && echo confirmed")
    except UNREACHABLE as error:
        return _words(error)
    if said[-1:] == ["confirmed"]:
        logger.info(f"{host.print_prefix}connected anew: the change stays")
        return ""
    return said[-1] if said else "nothing could be run over it"


def _ask_somehow(one: Any, command: str) -> list[str]:
    """What ``command`` prints as root, over the run's connection; or over a new one, which is the run's from then on.

    Its own may be cut off for good.
    """
    try:
        return _ask(one.connector, command)
    except UNREACHABLE:
        connector = _connected(one)
    try:
        answer = _ask(connector, command)
    except BaseException:
        if connector is not one.connector:
            _hang_up(connector)
        raise
    if connector is not one.connector:
        _hang_up(one.connector)
        one.connector = connector
    return answer


def _ask(connector: Any, command: str) -> list[str]:
    """What ``command`` prints as root; nothing on a host that is only imagined."""
    said = _run(connector, f"{command}; echo asked")
    if said and said[-1] != "asked":
        raise ConnectError(said[-1])
    return said[:-1]


@contextmanager
def _anew(one: Any) -> Iterator[Any]:
    connector = _connected(one)
    try:
        yield connector
    finally:
        if connector is not one.connector:
            _hang_up(connector)


def _connected(one: Any) -> Any:
    """A connector of the host's kind that has connected now. All but SSH begin anew with every command."""
    if not isinstance(one.connector, SSHConnector):
        return one.connector
    # Keys of hosts as they are in the file now: what this run has accepted is there, and not asked about again.
    get_host_keys.cache.clear()
    connector = type(one.connector)(one.state, one)
    try:
        with gevent.Timeout(QUESTION_SECONDS, TimeoutError(f"no connection in {QUESTION_SECONDS} s")):
            connector.connect()
    except BaseException:
        _hang_up(connector)
        raise
    return connector


def _hang_up(connector: Any) -> None:
    """Close a connection. What is asked over it afterwards fails at once, instead of in an hour."""
    if isinstance(connector, SSHConnector) and connector.client and (transport := connector.client.get_transport()):
        transport.close()


def _run(connector: Any, command: str) -> list[str]:
    """Run ``command`` as the operation under way is run; what it and sudo say."""
    arguments: Any = connector_arguments(host)
    control = extract_control_arguments(arguments)
    with gevent.Timeout(QUESTION_SECONDS, TimeoutError(f"no answer in {QUESTION_SECONDS} s")):
        as_root = make_unix_command_for_host(connector.state, connector.host, StringCommand(command), **arguments)
        # Marked, because pyinfra would ask the person at the terminal for a password when it reads that sudo wants one.
        marked = StringCommand("{", as_root, ";", "}", "2>&1", "|", "sed", "'s/^/: /'")
        whole, output = connector.run_shell_command(marked, _get_pty=control.get("_get_pty", False))
    if not whole:
        raise ConnectError("the connection broke off")
    return [line.removeprefix(": ") for line in output.stdout_lines]
