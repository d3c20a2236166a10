"""The pure half of deploys/lib/rewind.py: whether a copy of the data has to come back, which one, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

CANNOT = "the version that would come back cannot use the database as it is"
Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Rewind:
    """What a site's going back needs of its data; ``folder`` is empty when that is nothing.

    ``users`` are the hosts whose ``component`` uses the data, with the entry of the ledger that has what each is now.
    """

    component: str = ""
    why: str = ""
    keeper: str = ""
    keeper_host: str = ""
    folder: str = ""
    run: str = ""
    made: str = ""
    rows: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)

    @property
    def needed(self) -> bool:
        return bool(self.folder)

    @property
    def spokesman(self) -> str:
        """The host that says it for all."""
        return self.keeper_host or next(iter(self.users), "")

    @property
    def copy(self) -> str:
        return f"the dump that run {self.run} made ({self.made}, {self.rows} rows)"

    @property
    def gone(self) -> str:
        """What nobody finds any more afterwards, in words."""
        if not self.lost:
            return "how much was stored since cannot be told"
        listed = [f"{what} ({number})" for what, number in self.lost.items() if number]
        return f"stored since, and not in it: {', '.join(listed) or 'no ' + ', no '.join(self.lost)}"

    def lines(self) -> list[str]:
        """What is said before it is done."""
        if not self.needed:
            return [f"{self.component}: no dump is put back: {self.why}"] if self.why else []
        return [
            f"{self.keeper_host}: {self.copy} is put back for {self.component}, because {self.why}",
            f"    {self.gone}",
            "    the present database is dumped into this run's entry first, and stays beside the other",
            f"    {self.component} stops meanwhile on {', '.join(self.users)}",
        ]

    def refusal(self, command: str) -> str:
        """Why nothing is done, and what to say to have it done."""
        return (
            f"{self.component}: {CANNOT}: {self.why}. It needs {self.copy}, which would be put back; {self.gone}. "
            f"The present database is dumped first, and stays beside it. To go on: {command}"
        )

    def ended(self, where: str, undone: bool) -> str:
        """What is said when ``where`` failed."""
        if undone:
            return (
                f"going back failed on {where}: the data is what it was before, and {self.component} serves as before"
            )
        return (
            f"going back failed on {where}, and so did taking it back; the data of before is in the database that ends "
            "in _before_ and this run's name, if it is not in its place. Run the same again, or deploy"
        )


def command(inventory: str, hosts: Sequence[tuple[str, str]], data: Mapping[str, str]) -> str:
    """The words that go on with putting a copy back: ``hosts`` are options such as --exclude, with their values."""
    words = [f"--{name} {quote(value)}" for name, value in hosts]
    words += [f"--data {name}={quote(value)}" for name, value in {**data, "restore_dump": "true"}.items()]
    return f".venv/bin/pyinfra -y {quote(inventory)} deploys/rollback.py {' '.join(words)}"


def decide(
    target: str,
    asked: Answers,
    outside: Mapping[str, Sequence[str]],
    find: Callable[[str, str, Mapping[str, Any]], Mapping[str, Any]],
) -> Rewind | list[str]:
    """What going back to ``target`` needs, given each host's answer (`ledger data`); or why it cannot be done.

    ``outside`` are the hosts of each component's group that are not part of the run; ``find`` asks a host's keeper of
    the data for the copy that serves. A host that names what is no component is not believed: its words would be
    part of commands on other hosts.
    """
    answers = [
        (name, what, one)
        for name, answer in asked.items()
        for what, one in answer.get("uses", {}).items()
        if what in outside
    ]
    short = [(name, what, one) for name, what, one in answers if one["needed"]]
    if not short:
        stays = [(name, what, one["why"]) for name, what, one in answers if one["extra"]]
        return Rewind(stays[0][1], stays[0][2], users={stays[0][0]: ""}) if stays else Rewind()
    _, component, wanted = short[0]
    if any(one["wanted"] != wanted["wanted"] or one["mark"] != wanted["mark"] for _, _, one in answers):
        names = " and ".join(name for name, _, _ in answers)
        return [
            f"{component}: after run {target} {names} had different versions or keys, and they have one database; no "
            "dump serves both. Go back with `only` or to another run"
        ]
    users = {name: one["present"][component] for name, one in asked.items() if component in one.get("present", {})}
    keepers = [(name, keeper) for name, one in asked.items() for keeper in one.get("keeps", ()) if keeper in outside]
    needs = f"{component}: {CANNOT}: {wanted['why']}. A dump has to be put back, and"
    if not keepers:
        return [f"{needs} the host that keeps them is not part of this run, or keeps none; run without --limit"]
    if len(keepers) > 1:
        return [f"{needs} {' and '.join(name for name, _ in keepers)} each keep some; which database is in use?"]
    if missing := outside.get(component):
        return [f"{needs} {' and '.join(missing)}, not part of this run, would go on with it; run without --limit"]
    name, keeper = keepers[0]
    found = find(name, keeper, {key: wanted[key] for key in ("wanted", "adds", "mark")})
    if problem := found.get("problem"):
        return [f"{needs} on {name} {problem}"]
    return Rewind(component, wanted["why"], keeper, name, users=users, **found)
