"""What a person is told: the summary after a run, and the table of answers when everything is asked."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence

from pyinfra import host, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString
from rich.console import Console
from rich.table import Table

from deploys import facts
from deploys.lib.apply import selected
from deploys.lib.component import Component, Here, Probe


def say(text: str) -> None:
    """A line for the person at the terminal, under this host's name."""
    logger.info(f"{host.print_prefix}{text}")


def worked_on() -> list[str]:
    """Names of the operations that changed this host in this run."""
    changed = []
    for op_hash, data in state.ops[host].items():
        meta = data.operation_meta
        if meta.is_complete() and meta.did_change():
            changed += sorted(state.get_op_meta(op_hash).names)
    return list(dict.fromkeys(changed))


def services_touched() -> list[str]:
    """What was done to services on this host in this run, such as ``restart redis-server.service``."""
    lines = []
    for data in state.ops[host].values():
        meta = data.operation_meta
        if meta.is_complete() and meta.did_succeed():
            lines += [line for line in meta.stdout_lines if line.startswith(("start ", "restart ", "reload "))]
    return lines


@operation()
def summary(components: Sequence[Component], place: Here) -> Generator[str, None, None]:
    """Say what this run changed and restarted on this host, the versions it runs, and how to go on. Changes nothing."""
    if not state.is_executing:
        return
    changed = worked_on()
    say(f"changed: {', '.join(changed)}" if changed else "changed: nothing, everything was as wanted")
    touched = services_touched()
    if touched:
        say(f"services: {', '.join(touched)}")
    present = [component for component in components if place.member.has(component.name)]
    versions = []
    for component in present:
        if command := component.version(place):
            answered, detail, _ = host.get_fact(facts.Answer, probe=Probe("version", command))
            versions.append(f"{component.name} {detail if answered and detail else 'does not say'}")
    if versions:
        say(f"versions: {', '.join(versions)}")
    for component in present:
        for hint in component.hints(place):
            say(hint)
        for probe in component.remarks(place):
            answered, detail, _ = host.get_fact(facts.Answer, probe=probe)
            if not answered:
                say(f"{component.name}: {detail or probe.name}")
    yield from ()


def questions(components: Sequence[Component], place: Here) -> list[tuple[Component, Probe]]:
    """What a host is asked in this run: the probes of the components that are on it and were chosen."""
    return [(one, probe) for one in components if selected(one, place) for probe in one.probes(place)]


@operation()
def ask(components: Sequence[Component], place: Here) -> Generator[StringCommand, None, None]:
    """Ask every probe of the chosen ``components`` on this host and show the answers. Changes nothing.

    Fails when an answer is wrong, and when no host of the run has anything to be asked.
    """
    if not state.is_executing:
        return
    table = Table(title=f"{host.name}", title_justify="left")
    for heading in ("component", "question", "answer", "time", "detail"):
        table.add_column(heading, overflow="fold")
    wrong, asked = [], 0
    for component, probe in questions(components, place):
        answered, detail, milliseconds = host.get_fact(facts.Answer, probe=probe)
        asked += 1
        if not answered:
            wrong.append(f"{component.name} {probe.name}")
        table.add_row(component.name, probe.name, "yes" if answered else "NO", f"{milliseconds} ms", detail[:60])
    if asked:
        text = io.StringIO()
        Console(file=text, width=120).print(table)
        for line in text.getvalue().rstrip().splitlines():
            logger.info(line)
    if not asked:
        names = {one.name for one in state.activated_hosts}
        if any(questions(components, Here(one, place.site)) for one in place.site if one.name in names):
            say("nothing to ask here")
        else:
            yield StringCommand("echo", QuoteString("nothing was asked on any host of this run"), ">&2;", "exit", "1")
    elif wrong:
        sentence = f"{len(wrong)} of {asked} answers on {host.name} are wrong: {'; '.join(wrong)}"
        yield StringCommand("echo", QuoteString(sentence), ">&2;", "exit", "1")
    else:
        say(f"all {asked} answers are right")
