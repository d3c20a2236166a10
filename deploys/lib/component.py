"""What a component declares: a frozen record of plain functions, and what those functions are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import SecretStr

from deploys.lib.host_settings import HostSettings
from deploys.lib.settings import Settings
from deploys.lib.sizing import Demand, HostPlan, Machine

Effect = Literal["none", "reload", "restart"]
# Who may ask a port beside the hosts of components: whoever uses the gateway, and load balancers and monitoring.
CLIENTS, MONITORS = "clients", "monitors"


@dataclass(frozen=True)
class ConfigFile:
    """A file a component wants on the host, as finished text.

    ``effect`` is what the service needs before it uses a new version of the file; ``secret`` says that the text has
    one in it. The text is never part of ``repr``: pyinfra writes the arguments of facts into its log.
    """

    path: str
    text: str = field(repr=False)
    mode: str = "0644"
    user: str = "root"
    group: str = "root"
    effect: Effect = "restart"
    secret: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link a component wants on the host: the ``current`` version of something."""

    path: str
    target: str
    effect: Effect = "restart"


@dataclass(frozen=True)
class Probe:
    """A question asked on the host as root: ``command`` exits 0 and may print one line of detail.

    A refusal may be asked on another host, named by ``on``; and its answer may be judged here: ``judge`` is given the
    detail and says why it is a refusal, or nothing. What it knows is never shown and never sent.
    """

    name: str
    command: str
    seconds: int = 30
    on: str = ""
    judge: Callable[[str], str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Provision:
    """Something a service has to be told once it answers: ``command`` runs unless ``test`` exits 0.

    Both are shell text without a secret; ``stdin`` is what ``command`` reads, and may be one. It is part of what a
    run leaves in the ledger: going back to that run tells the service the same again.
    """

    name: str
    test: str
    command: str
    stdin: SecretStr | None = None


@dataclass(frozen=True)
class Listener:
    """A TCP port a component will listen on, and the process names that may already hold it.

    ``unit`` is whose processes they are, when it is not the component's own unit. ``askers`` are who may ask it from
    other hosts: components, whose hosts may, CLIENTS or MONITORS; nobody when there are none.
    """

    port: int
    owners: tuple[str, ...]
    setting: str
    unit: str = ""
    askers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Account:
    """A user of the system, as Debian's own package makes it: it may be needed before that is there."""

    name: str
    home: str
    shell: str = "/usr/sbin/nologin"


@dataclass(frozen=True)
class Traffic:
    """What one component of a host has to do with the network; its fields are those of ``Component``."""

    component: str
    listeners: tuple[Listener, ...]
    reaches: tuple[str, ...]
    confined: Account | None = None


@dataclass(frozen=True)
class Member:
    """One host of the inventory, as the other hosts know it.

    ``release`` is Debian's number, such as ``12``, and empty for a host outside this run. ``traffic`` has an entry for
    each of its components, ``named`` are the addresses of the web that its settings have in them, and
    ``name_servers`` those that the host asks for names.
    """

    name: str
    address: str | None
    host: HostSettings
    machine: Machine
    plan: HostPlan
    settings: Mapping[str, Settings]
    release: str = ""
    traffic: tuple[Traffic, ...] = ()
    named: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()

    def has(self, component: str) -> bool:
        return component in self.settings


@dataclass(frozen=True)
class Here:
    """What a component's functions may know: the host they run for, and the site around it."""

    member: Member
    site: tuple[Member, ...]

    def of(self, component: str) -> tuple[Member, ...]:
        """Every host that has ``component``, in inventory order."""
        return tuple(member for member in self.site if member.has(component))

    def reach(self, other: Member) -> str:
        """The address under which this host reaches ``other``: loopback when they are the same."""
        if other.name == self.member.name:
            return "127.0.0.1"
        assert other.address is not None  # apply refuses a site with several hosts and no addresses
        return other.address

    def settings(self, cls: type[Any]) -> Any:
        """This host's settings of class ``cls``."""
        return next(s for s in self.member.settings.values() if isinstance(s, cls))


def _nothing(here: Here) -> list[Any]:
    return []


def _no_operations(here: Here) -> None:
    return None


def _nothing_before(here: Here, run: str) -> None:
    return None


@dataclass(frozen=True)
class Component:
    """One service of the gateway: data and pure functions, plus the two that call operations.

    ``files``, ``links``, ``guard``, ``check``, ``ready``, ``provisions``, ``probes``, ``demand`` and ``problems`` are
    pure. ``install`` runs before any file is written, ``provision`` after the service is ready; both call idempotent
    operations only. ``guard`` is asked before any file is written, ``check`` after; where the new version of a managed
    file lies meanwhile, the shell function `new PATH` prints.
    ``tidy`` calls operations when everything on the host serves, to remove what nothing needs any more.
    ``data`` is a shell command that says whether the data elsewhere serves the component, and ``store`` one that finds
    and restores copies of that data on the host that keeps it: going back asks both (payload/host/ledger_data.py).
    ``before`` lies between: it is called for every host of the run, whatever it has, when the component is installed on
    all of its hosts and its files are changed on none; with the run's name.
    ``back`` is a shell command for effects that its earlier files alone do not take back: it is run whenever they were
    put back after a failure, also while the host starts, before its services do. ``back_refusals`` are asked before a
    run goes back over it, whose settings nobody knows.
    ``confirm_seconds`` is for what could shut everybody out: within that time after a change somebody must have
    connected anew, or the host takes it back by itself; 30 at least, as a connection that hangs takes 10.
    ``runtimes`` are those under which it needs memory; under another one it declares nothing.
    ``listeners`` are the ports it listens on and who may ask them; ``reaches`` are addresses outside
    the site that it asks, beside those that its settings name as http:// or https://.
    ``bill`` are shell commands that only look, and print what of other people's making the component has put on the
    host; ``lib/bill.py`` says in what form.
    ``confined`` is the user of a service that has to do with nobody but its askers and what it reaches.
    ``remarks`` are questions whose wrong answers are told at the end of every run: nothing that a run could put right.
    ``group`` is the inventory group whose hosts get the component, and ``beside`` another one whose hosts get it as
    well; ``needs`` are components some host must have.
    """

    name: str
    settings: type[Settings]
    demand: Callable[[Any, Machine, frozenset[str]], Demand]
    runtimes: tuple[str, ...] = ("systemd", "compose")
    install: Callable[[Here], None] = _no_operations
    before: Callable[[Here, str], None] = _nothing_before
    files: Callable[[Here], list[ConfigFile]] = _nothing
    links: Callable[[Here], list[Link]] = _nothing
    unit: Callable[[Here], str] | None = None
    extra_units: Callable[[Here], list[str]] = _nothing
    stopped_units: Callable[[Here], list[str]] = _nothing
    guard: Callable[[Here], list[str]] = _nothing
    data: Callable[[Here], str] = lambda here: ""
    store: Callable[[Here], str] = lambda here: ""
    check: Callable[[Here], list[str]] = _nothing
    check_seconds: int = 120
    outdated: Callable[[Here], list[Probe]] = _nothing
    ready: Callable[[Here], str] = lambda here: "true"
    ready_seconds: int = 60
    confirm_seconds: int = 0
    back: Callable[[Here], str] = lambda here: ""
    back_refusals: tuple[Probe, ...] = ()
    provisions: Callable[[Here], list[Provision]] = _nothing
    provision: Callable[[Here], None] = _no_operations
    tidy: Callable[[Here], None] = _no_operations
    problems: Callable[[Here], list[str]] = _nothing
    refusals: Callable[[Here], list[Probe]] = _nothing
    listeners: Callable[[Here], list[Listener]] = _nothing
    reaches: Callable[[Here], list[str]] = _nothing
    confined: Account | None = None
    probes: Callable[[Here], list[Probe]] = _nothing
    version: Callable[[Here], str] = lambda here: ""
    bill: Callable[[Here], list[str]] = _nothing
    serial: bool = False
    group: str = ""
    beside: str = ""
    needs: tuple[str, ...] = ()
    hints: Callable[[Here], list[str]] = field(default=_nothing)
    remarks: Callable[[Here], list[Probe]] = _nothing

    @property
    def hosts(self) -> str:
        """The inventory group whose hosts get this component."""
        return self.group or self.name

    def unit_on(self, here: Here) -> str:
        """Its unit on one host; empty where it has none."""
        return self.unit(here) if self.unit else ""

    @property
    def groups(self) -> tuple[str, ...]:
        """All of these groups."""
        return (self.hosts, self.beside) if self.beside else (self.hosts,)
