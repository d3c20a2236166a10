"""How a service runs: as a program of the host under systemd, or in a container. A component declares, this decides.

Both runtimes have the same units, files, folders, ports and users. A container's unit starts it in the foreground, so
systemd, its journal and everything that works with units go on as before, and changing the runtime of a host is a
change of files like any other: checked, noted in the ledger, taken back when it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join

from deploys.lib.component import ConfigFile, Here
from deploys.lib.containers import LABEL, Container, name_of
from deploys.lib.programs import TOOLS
from deploys.lib.render import ROOT, render

# What units and people make and run the services with. One path for every revision: the units name it, and another
# one would restart every service. No component's, because it must be there for whatever goes back to containers.
PROGRAM = ROOT / "payload" / "compose" / "compose"
TOOL = f"{TOOLS}/{PROGRAM.name}"


def contained(here: Here) -> bool:
    """Whether this host's services run in containers."""
    return here.member.host.runtime == "compose"


def unit_file(
    one: Container,
    about: str,
    after: Sequence[str] = (),
    lines: Sequence[str] = (),
    wanted_by: str = "",
    stopping: tuple[str, str] = ("", ""),
) -> ConfigFile:
    """The systemd unit of a service in a container.

    ``after`` are units it is started after, ``lines`` are more of its section [Unit], and ``wanted_by`` is what starts
    it beside the boot. ``stopping`` is what is run before the container is stopped and after the service has ended.
    """
    text = render(
        "runtime/container.service.j2",
        None,
        one=one,
        about=about,
        after=[*after, "docker.service"],
        lines=lines,
        stopping=stopping,
        wanted_by=" ".join(("multi-user.target", *([wanted_by] if wanted_by else []))),
        name=name_of(one.service),
        tool=TOOL,
        # Docker ends it after its own time; systemd waits a little longer for Docker.
        stop=one.stop_seconds + 15,
    )
    return ConfigFile(f"/etc/systemd/system/{one.unit}", text)


def task_file(unit: str, about: str, service: str, seconds: str) -> ConfigFile:
    """A systemd unit that runs a service to its end."""
    text = render("runtime/task.service.j2", None, about=about, command=run(service), seconds=seconds)
    return ConfigFile(f"/etc/systemd/system/{unit}", text, effect="none")


def run(service: str, *words: str) -> str:
    """A shell command that runs a service to its end, with other arguments when there are ``words``."""
    return join([TOOL, "run", service, *words])


def main_pid(unit: str) -> str:
    """Shell text that prints the number of a unit's main process, in whichever runtime it is."""
    return (
        f"{{ id=$(docker ps --quiet --filter label={LABEL}={unit} 2>/dev/null); "
        f"if [ -n \"$id\" ]; then docker inspect --format '{{{{.State.Pid}}}}' $id; "
        f"else systemctl show -p MainPID --value {unit}; fi; }}"
    )


def is_of(unit: str) -> str:
    """Shell text that is true when the process ``$pid`` is one of a unit's, in whichever runtime it is."""
    return (
        f"{{ grep -q '/{unit}$' /proc/$pid/cgroup || {{ "
        f"id=$(docker ps --quiet --no-trunc --filter label={LABEL}={unit} 2>/dev/null); "
        '[ -n "$id" ] && grep -q "$id" /proc/$pid/cgroup; }; }'
    )
