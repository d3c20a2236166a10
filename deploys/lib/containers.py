"""What a service in a container is made of, and how compose is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from deploys.lib.component import ConfigFile
from deploys.lib.render import render

PROJECT = "portcullis"
FOLDER = "/etc/portcullis/compose"
# Debian's variables for everyone, as the tool has made them readable for Compose.
EVERYONES = f"{FOLDER}/host.env"
LABEL, USER_LABEL = "portcullis.unit", "portcullis.user"


# A service is pressed back to its share of the host when others need the memory, and ended when it takes so much of it:
# as the gateway's own unit has it. Pages of files count, and go first.
HARD_FACTOR = 1.4


@dataclass(frozen=True)
class Health:
    """How Docker asks a container whether it works; others wait for the first good answer (seconds)."""

    command: tuple[str, ...]
    interval: int = 10
    timeout: int = 5
    retries: int = 3
    start: int = 60
    start_interval: int = 1


@dataclass(frozen=True)
class Log:
    """What Docker keeps of a container's output: so many files, each of so many MiB at most."""

    size_mb: int
    files: int


@dataclass(frozen=True)
class Container:
    """One service of the project.

    ``user`` is a user of the host, whose numbers the process gets, with further ``groups``. ``reads`` and ``writes``
    are there under the names they have on the host: folders, because a file that is replaced would stay the old one
    inside. ``scratch`` is kept in memory and forgotten, ``runtime`` are folders of its user's in the host's /run,
    emptied before it starts unless it ``remembers``. ``after`` names services and what must be true of them first, in
    compose's words. ``unit`` is the systemd unit that starts it, empty for one that is run to its end, which is
    ``by_hand`` when `docker compose up` leaves it out. What comes after one that is ``awaited`` finds it answering.
    When memory runs out, one that is ``protected`` goes last and one that is ``expendable`` first. Memory is in MiB;
    ``soft_mb`` is what it is pressed back to when the host is short.
    """

    service: str
    image: str
    command: tuple[str, ...]
    user: str
    groups: tuple[str, ...] = ()
    unit: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ("/tmp",)
    scratch_mb: int = 64
    runtime: tuple[str, ...] = ()
    remembers: bool = False
    env_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int = 128
    soft_mb: int = 0
    tasks: int = 512
    one_cpu: bool = False
    cpu_shares: int = 0
    protected: bool = False
    expendable: bool = False
    open_files: int = 1024
    health: Health | None = None
    after: Mapping[str, str] = field(default_factory=dict)
    awaited: bool = False
    stop_signal: str = "SIGTERM"
    stop_seconds: int = 10
    host_processes: bool = False
    by_hand: bool = False
    reload: tuple[str, ...] = ()


def name_of(service: str) -> str:
    """The container's name."""
    return f"{PROJECT}-{service}"


def variable(kind: str, user: str) -> str:
    """The variable with a number of ``user``; payload/compose/compose has the same words."""
    return f"{kind}_{user.replace('-', '_')}"


def plain(word: str) -> str:
    """``word`` for compose, which would put a variable in place of what follows a dollar sign."""
    return word.replace("$", "$$")


def _service(one: Container, log: Log) -> dict[str, object]:
    made: dict[str, object] = {
        "image": one.image,
        "pull_policy": "never",
        # The whole of it, whatever the image would start by itself.
        "entrypoint": [plain(one.command[0])],
        "command": [plain(word) for word in one.command[1:]],
        # The tool writes the numbers of the host's users into .env.
        "user": f"${{{variable('UID', one.user)}:?}}:${{{variable('GID', one.user)}:?}}",
        # The same ports on the same addresses as without containers; a port that Docker publishes is answered before
        # the host's own firewall is asked.
        "network_mode": "host",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": f"{one.memory_mb}m",
        "memswap_limit": f"{one.memory_mb}m",
        "pids_limit": one.tasks,
        "cpus": "1" if one.one_cpu else "${CPUS:?}",
        "ulimits": {"nofile": one.open_files, "core": 0},
        # Its unit starts it again. If Docker did as well, it could be when the host's own program has taken its place.
        "restart": "no",
        # The engine's own limits, where they can be read: a full disk of logs cannot happen.
        "logging": {"driver": "local", "options": {"max-size": f"{log.size_mb}m", "max-file": str(log.files)}},
        "stop_grace_period": f"{one.stop_seconds}s",
    }
    if one.soft_mb:
        made["mem_reservation"] = f"{one.soft_mb}m"
    if one.stop_signal != "SIGTERM":
        made["stop_signal"] = one.stop_signal
    if one.host_processes:
        # Its process number, which it writes down, is that of the host; its shared memory says who else uses the data.
        made |= {"pid": "host", "ipc": "host"}
    else:
        made["init"] = True
    if one.protected or one.expendable:
        made["oom_score_adj"] = "${PROTECTED:?}" if one.protected else 500
    if one.cpu_shares:
        made["cpu_shares"] = one.cpu_shares
    if one.groups:
        made["group_add"] = [f"${{{variable('GROUP', name)}:?}}" for name in one.groups]
    if one.scratch:
        made["tmpfs"] = [f"{path}:mode=1777,size={one.scratch_mb}m,noexec,nosuid,nodev" for path in one.scratch]
    inside = [path for path in one.runtime if str(PurePath(path).parent) not in one.runtime and path not in one.reads]
    folders = [*((path, True) for path in one.reads), *((path, False) for path in (*one.writes, *inside))]
    if folders:
        made["volumes"] = [
            {"type": "bind", "source": path, "target": path, "bind": {"create_host_path": False}}
            | ({"read_only": True} if read_only else {})
            for path, read_only in folders
        ]
    if one.env_files:
        made["env_file"] = [{"path": path, "required": not one.by_hand} for path in one.env_files]
    if one.environment:
        made["environment"] = {name: plain(value) for name, value in one.environment.items()}
    if one.health:
        made["healthcheck"] = {
            "test": ["CMD", *map(plain, one.health.command)],
            "interval": f"{one.health.interval}s",
            "timeout": f"{one.health.timeout}s",
            "retries": one.health.retries,
            "start_period": f"{one.health.start}s",
            "start_interval": f"{one.health.start_interval}s",
        }
    else:
        made["healthcheck"] = {"disable": True}
    if one.after:
        made["depends_on"] = {name: {"condition": what} for name, what in one.after.items()}
    if one.unit:
        made["container_name"] = name_of(one.service)
    made["labels"] = {**({LABEL: one.unit} if one.unit else {}), USER_LABEL: " ".join((one.user, *one.groups))}
    if one.by_hand:
        made["profiles"] = ["tools"]
    return made


def compose_text(containers: Sequence[Container], log: Log) -> str:
    """The services of one component, as the text of a compose file.

    What a setting says stands in it as it is: by a variable of the host's, a change would reach every service at once.
    """
    document = {"name": PROJECT, "services": {one.service: _service(one, log) for one in containers}}
    return render("runtime/compose.yaml.j2", None, document=document)


def compose_file(component: str, containers: Sequence[Container], log: Log) -> ConfigFile:
    """What Docker is told of a component. The unit starts the service anew where its part differs."""
    return ConfigFile(f"{FOLDER}/{component}.yaml", compose_text(containers, log))


def http_health(python: str, url: str, any_answer: bool = False, **more: int) -> Health:
    """Ask ``url`` by a Python of the image, past any proxy; every image has one. ``any_answer``: a 503 will do too."""
    # One that does not know how to handle an error gives the answer as it is.
    opener = (
        "r.OpenerDirector(); o.add_handler(r.HTTPHandler())" if any_answer else "r.build_opener(r.ProxyHandler({}))"
    )
    ask = f"import urllib.request as r; o = {opener}; o.open({url!r}, timeout=4)"
    # Each time a Python starts, beside a service that has the processors to itself otherwise: seldom, and without what
    # it would read first.
    return Health((python, "-I", "-S", "-c", ask), interval=30, start_interval=5, **more)
