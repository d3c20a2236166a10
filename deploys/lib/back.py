"""Going back to an earlier run, driven: which run on which host, component by component, and what is said then."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field
from pyinfra import host, inventory, logger, state
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from deploys import facts, operations
from deploys.guard import ARGUMENTS
from deploys.lib import history, rewind
from deploys.lib.apply import in_our_folder, refused, stop
from deploys.lib.component import Component
from deploys.lib.host_settings import HostSettings
from deploys.lib.ledger import RUN_ID
from deploys.lib.patterns import RUN, worded
from deploys.lib.rewinding import Rewind, command
from deploys.lib.session import hold, only_looks
from deploys.lib.settings import SettingsError, nearest, settings_from
from deploys.lib.tools import install_tools


class BackSettings(HostSettings):
    """Keys of a run that goes back; the hosts' other settings are not looked at, and may be broken."""

    run: str = Field(
        "",
        pattern=RUN,
        description="Run to go back to, as deploys/history.py lists it. Default: the one before the last deploy.",
    )
    only: str = Field(
        "",
        pattern=worded(r"^[a-z0-9_,]*$", "names of components with commas between them"),
        description="Components to take back, with commas between them. Default: all.",
    )
    restore_dump: bool = Field(
        False,
        description="Put the dump of before back where an earlier version cannot use what the database has become.",
    )


def _settings_of(one: Any) -> BackSettings:
    def unreadable(reference: str) -> Any:
        raise SettingsError([f"{reference} is not needed here"])

    return settings_from(one.data.dict(), "", BackSettings, unreadable)


def settings_here(components: Sequence[Component]) -> BackSettings:
    """The keys that matter here. Stops for a misspelt one on the command line: it would go back to another run."""
    in_our_folder()
    # Of pyinfra's own, which say how a host is reached, any.
    known = {*BackSettings.model_fields, *host.connector_cls.data_meta}
    given = [word.partition("=")[0] for word in ARGUMENTS.get("data") or ()]
    ours = {f"{component.name}_{field}" for component in components for field in component.settings.model_fields}
    strange = [key for key in given if key not in known | ours and not key.startswith("_")]
    problems = [f"{key}: unknown setting{nearest(key, known)}" for key in strange]
    problems += [f"{key}: going back takes no settings; the earlier run's come back" for key in given if key in ours]
    try:
        settings = _settings_of(host)
    except SettingsError as error:
        stop([*problems, *error.problems])
    names = [component.name for component in components]
    chosen = [name for name in settings.only.split(",") if name]
    problems += [f"only: there is no component {one}{nearest(one, names)}" for one in chosen if one not in names]
    if problems:
        stop(problems)
    return settings


def show_history(settings: BackSettings) -> None:
    """Show every run of this host."""
    seen: list[dict[str, Any]] = host.get_fact(facts.Ledger, root=settings.backup_root)
    for line in history.table(host.name, seen):
        logger.info(line)


@cache
def _target(asked: str) -> tuple[str, tuple[str, ...]]:
    """The run that the whole site goes back to, and why there is none.

    One for all hosts: a run that changed nothing on one of them has left an entry on the others.
    """
    known: list[Mapping[str, Any]] = []
    for one in inventory:
        if one in state.activated_hosts:
            seen: list[dict[str, Any]] = one.get_fact(facts.Ledger, root=_settings_of(one).backup_root)
            known += seen
    good = sorted({entry["run"] for entry in known if entry["outcome"] == "done" and not entry["damage"]})
    if asked:
        if asked in {entry["run"] for entry in known}:
            return asked, ()
        return "", (f"run: no host has seen {asked}; it could be one of: {', '.join(good[-5:]) or 'none'}",)
    deploys = sorted(entry["run"] for entry in known if entry["kind"] != "rollback")
    earlier = [run for run in good if deploys and run < deploys[-1]]
    before = [entry for entry in known if earlier and earlier[-1] < entry["run"] < deploys[-1] and entry["changed"]]
    if before:
        # Going back over it as well would undo more than the last deploy, and what it left is no whole state.
        run, how = before[-1]["run"], before[-1]["outcome"]
        return "", (
            f"the run before the last deploy, {run}, ended as `{how}` with changes; say where to: --data run=RUN",
        )
    if earlier:
        return earlier[-1], ()
    return "", (
        "there is no earlier run to go back to: the hosts have seen one deploy at most; see deploys/history.py",
    )


def _root_of(one: Any) -> str:
    return _settings_of(one).backup_root


def _rewind(settings: BackSettings, target: str, components: Sequence[Component]) -> Rewind:
    """What the site's data needs, which nobody loses without having said so. Stops when it cannot be had."""
    way = rewind.site(target, settings.only, _root_of, components)
    if not isinstance(way, Rewind):
        stop(way)
    if way.needed and not settings.restore_dump:
        # Of what was said, only what means something here: values of other keys may be anybody's.
        said = dict(word.partition("=")[::2] for word in ARGUMENTS.get("data") or ())
        options = {key: value for key, value in said.items() if key in BackSettings.model_fields}
        hosts = [(name, str(one)) for name in ("limit", "exclude") for one in ARGUMENTS.get(name) or ()]
        inventory_file = str(ARGUMENTS.get("inventory", "INVENTORY"))
        stop([way.refusal(command(inventory_file, hosts, {**options, "run": target}))])
    rewind.show(way)
    return way


def look_back(settings: BackSettings, components: Sequence[Component]) -> tuple[dict[str, Any], Rewind]:
    """What going back changes on this host, shown to the person who asked for it. Stops when it cannot be done."""
    target, problems = _target(settings.run)
    if not target:
        stop(problems)
    if held_up := hold(inventory.get_host(host.name), settings, "rollback"):
        stop([held_up])
    way = _rewind(settings, target, components)
    plan: dict[str, Any] = host.get_fact(
        facts.WayBack,
        root=settings.backup_root,
        run=target,
        only=settings.only,
        data=way.component if way.needed and host.name in way.users else "",
    )
    taken = {part["component"] for part in plan["components"]}
    asked = [probe for component in components if component.name in taken for probe in component.back_refusals]
    if wrong := [*plan["problems"], *(why for probe in asked if (why := refused(probe)))]:
        stop([f"{host.name}: {problem}" for problem in wrong])
    for line in history.way_back(host.name, plan):
        logger.info(line)
    if only_looks():
        logger.info("")
    elif plan["components"] or (way.needed and host.name in (way.keeper_host, *way.users)):
        install_tools("ledger")
    return plan, way


def put_back(component: Component, plan: Mapping[str, Any], way: Rewind, settings: BackSettings) -> None:
    """Put back one component on this host, if the plan has something for it; and the data it needs before that."""
    parts = {part["component"]: part for part in plan["components"]}
    first = way.needed and way.component == component.name
    if first:
        rewind.before(way, settings.backup_root)
    operations.go_back(
        name=f"{component.name} | Go back",
        component=component.name,
        target=plan["run"],
        part=parts.get(component.name),
        run=RUN_ID,
        backup_root=settings.backup_root,
        other_data=first,
        _serial=component.serial,
        # What fails is taken back everywhere first; then the run ends.
        _if=(lambda: not rewind.failed(way)) if first else None,
        _ignore_errors=first,
    )
    if first:
        rewind.after(way, settings.backup_root)


@operation()
def _verified(plan: Mapping[str, Any]) -> Generator[StringCommand, None, None]:
    """Ask what `verify` asked when that state was made; fails when an answer is wrong. Changes nothing."""
    if not state.is_executing:
        return
    answers = host.get_fact(facts.Verified, only=",".join(part["component"] for part in plan["components"]))
    wrong = [f"{one['component']} {one['question']}: {one['said']}" for one in answers if not one["right"]]
    if wrong:
        sentence = f"{len(wrong)} of {len(answers)} answers on {host.name} are wrong: {'; '.join(wrong)}"
        yield StringCommand("echo", QuoteString(sentence), ">&2;", "exit", "1")
    else:
        logger.info(f"{host.print_prefix}is as it was after run {plan['run']}; all {len(answers)} answers are right")


def end_of(plan: Mapping[str, Any]) -> None:
    """Ask the host whether everything works as it did then, and say so."""
    _verified(name="Summary", plan=plan)
