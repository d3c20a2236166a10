"""How whoever deploys has come to a host, told by the processes above the one that asks; sudo hides none of it."""

from __future__ import annotations


def came(proc: str = "/proc") -> str:
    """Shell text that sets ``user``, whom sshd let in, and ``connection``, where from and where to, as sshd has it.

    Of sshd's processes the nearest one is the user's own; the address and port are in the environment of the first
    program that it started, and often of no later one; who that was is there as well. Both are empty when nobody has
    come over SSH. It needs root, for the environments of others, and of a host little: there may be no ps.
    """
    status = (
        "name=''; above=''; uid=''; while read -r word one two rest; do case $word in Name:) name=$one ;; "
        f'PPid:) above=$one ;; Uid:) uid=$two ;; esac; done 2>/dev/null <"{proc}/$pid/status"'
    )
    environment = f"tr '\\0' '\\n' 2>/dev/null <\"{proc}/$pid/environ\" | sed -n"
    told = f"{environment} 's/^SSH_CONNECTION=//p'"
    # A terminal that outlives its connection (tmux, screen) is below none of sshd's processes; its variables tell.
    named = f"$({environment} 's/^SUDO_USER=/1 /p; s/^LOGNAME=/2 /p' | sort | sed -n '1s/^[12] //p')"
    return (
        f"user=''; connection=''; owner=''; pid=$$; while [ \"${{pid:-0}}\" -gt 1 ]; do {status}; "
        'case $name in sshd*) [ -n "$user" ] || user=$(id -nu "$uid" 2>/dev/null) || user=$uid ;; esac; '
        f'[ -n "$connection" ] || {{ connection=$({told}); [ -z "$connection" ] || owner={named}; }}; pid=$above; '
        "done; user=${user:-$owner}"
    )
