"""Shell text of questions and steps that several components need."""

from __future__ import annotations

from shlex import quote

from deploys.lib.component import Probe


def listens_only(port: int, addresses: list[str]) -> Probe:
    """Whether ``port`` is listened on at exactly ``addresses``."""
    wanted = " ".join(sorted(addresses))
    found = "awk '{print $4}' | sed 's/:[0-9]*$//' | tr -d '[]' | sort -u | paste -s -d ' '"
    return Probe("listens only where it should", f"ss -Hltn 'sport = :{port}' | {found} | grep -x '{wanted}'")


def patiently(command: str, times: int, pause: int) -> str:
    """Shell text that is true as soon as ``command`` is, asked up to ``times`` times with ``pause`` seconds between."""
    return f"n=0; until {command}; do n=$((n + 1)); [ $n -lt {times} ] || exit 1; sleep {pause}; done"


def bracketed(address: str) -> str:
    """An IP address, or a name, as the host part of a URL."""
    return f"[{address}]" if ":" in address else address


def own_address(listen: str) -> str:
    """The address at which its own host reaches a service that listens at ``listen``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)


def local_url(listen: str, port: int) -> str:
    """Where a service that listens at ``listen`` answers on its own host; without a slash at the end."""
    return f"http://{bracketed(own_address(listen))}:{port}"


def system_user(name: str, home: str, shell: str = "/usr/sbin/nologin") -> str:
    """Shell text that makes a user without a password, with a group of the same name."""
    return f"getent passwd {name} >/dev/null || useradd --system --user-group --home-dir {home} --shell {shell} {name}"


def oneshot(unit: str, what: str) -> str:
    """Run a oneshot unit to its end; on failure print what it said last, and ``what`` or that its time was over."""
    late = (
        f'"{unit} was not done after $(systemctl show -p TimeoutStartUSec --value {unit}); '
        'run again when this host has less to do"'
    )
    return (
        f"systemctl start {unit} 2>/dev/null || {{ journalctl -q -o cat --no-pager -n 40 "
        f'"_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value {unit})" | '
        f"grep -v '^ *$' | tail -n 3; if [ \"$(systemctl show -p Result --value {unit})\" = timeout ]; "
        f"then echo {late}; else echo {quote(what)}; fi; exit 1; }}"
    )
