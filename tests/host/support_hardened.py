"""What a host is like, line by line, as far as hardening may change it: to be compared before and after."""

from __future__ import annotations

from tests.host.support import Server

# Counters and what the host itself moves on; nobody sets these.
MOVING = (
    "random|file-nr|dentry|inode|nonce|ns_last_pid|quota|rt_cache|conntrack_count|keys\\.|fs\\.aio-nr|"
    "sched_domain|pty\\.nr"
)
# What Docker and systemd write when a host starts.
STARTS = r" ?/etc/(\.updated|resolv\.conf|hosts|hostname|mtab)( |$)"
# Beyond the network's, containers share the settings of their machine's kernel: other hosts of labs start meanwhile.
SHARED = "systemd-detect-virt --quiet --container"
TRANSIENT = "portcullis-|apt-daily|dpkg-db|tmpfiles-clean|session|user@"
SCRIPT = rf"""
find /etc /root /boot /usr/bin /usr/sbin /var/lib/pam /usr/share/pam-configs -xdev ! -name __pycache__ \
    -printf '%p %y %m %u %g %l\n' | grep -v '^/root/\.' | sort
find /etc /usr/share/pam-configs /var/lib/pam -xdev -type f -exec sha256sum {{}} + | grep -v -E '{STARTS}' | sort -k 2
sysctl -a 2>/dev/null | grep -v -E '{MOVING}' | if {SHARED}; then grep '^net\.'; else cat; fi | sort
systemctl list-unit-files --no-legend --no-pager | awk '{{print "unit", $1, $2}}' | sort
systemctl list-units --all --no-legend --no-pager --plain --type=service,timer,socket,path \
    | awk '$3 == "active" {{print "active", $1}}' | grep -v -E '{TRANSIENT}' | sort
dpkg-query -W -f 'package ${{Package}} ${{Version}} ${{db:Status-Abbrev}}\n' | sort
findmnt -rno TARGET,OPTIONS /dev/shm /tmp /var/tmp /home 2>/dev/null
sshd -T 2>/dev/null | sed 's/^/sshd /' | sort
"""


def looks(server: Server) -> dict[str, str]:
    """Lines by number of the host's state; a dictionary, so that pytest shows what differs."""
    return {line: "" for line in server.out(SCRIPT).splitlines()}


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    gone = [f"- {line}" for line in before if line not in after]
    return gone + [f"+ {line}" for line in after if line not in before]
