"""What a host is asked before anything changes, so that nobody is locked out: how we have come, and as whom."""

from __future__ import annotations

from deploys.components.hardening.controls import Control, Want
from deploys.components.hardening.registry import asked_for
from deploys.components.hardening.sshd_files import READS, TOLD_BY_US, UNREAD
from deploys.lib.component import Probe
from deploys.lib.way_in import came

# Sets $user and $connection.
CAME = came()
# A line that lets its owner in: no comment, and none that only starts a command, as clouds give root one that says
# "log in as debian". Options may stand in front, quoted ones with spaces.
KEY = r"^[[:space:]]*([^#[:space:]].*[[:space:]])?(ssh|ecdsa|sk)-[a-z0-9@.-]+[[:space:]]+AAAA"
COMMAND = r"^[[:space:]]*([^[:space:]]*,)?command="
HAS_KEY = (
    'home=$(getent passwd "$user" | cut -d : -f 6); sshd -T 2>/dev/null | '
    'awk \'$1 == "authorizedkeyscommand" && $2 != "none" {found = 1} '
    '$1 == "trustedusercakeys" && $2 != "none" {found = 1} END {exit !found}\' || '
    'names=$(sshd -T 2>/dev/null | sed -n "s/^authorizedkeysfile //p"); for name in ${names:-.ssh/authorized_keys}; do '
    'name=$(printf %s "$name" | sed "s|%h|$home|g; s|%u|$user|g"); case $name in /*) ;; *) name=$home/$name ;; esac; '
    f'grep -E "{KEY}" "$name" 2>/dev/null | grep -q -v -i -E "{COMMAND}" && {{ has=yes; break; }}; done'
)
# sshd reads its files anew with ours, and with them what somebody has written there and not used yet; undoing ours
# would not take that back. A socket of systemd's listens where its own unit says.
PORT_STAYS = (
    f'{CAME}; port=${{connection##* }}; [ -n "$port" ] && ! systemctl is-active --quiet ssh.socket || exit 0; '
    "ports=$(sshd -T 2>/dev/null | sed -n 's/^listenaddress .*://p' | sort -u | paste -s -d ' '); "
    'case " ${ports:-$port} " in *" $port "*) ;; *) echo "hardening_level: this run has come in at port $port, and '
    "from its next reload on sshd listens at $ports: nobody could come back; put its files right, or reload it and "
    'come in there"; exit 1 ;; esac'
)


# The file of somebody else's that keeps root out, in which a line of ours would not come first any more: sshd takes the
# first value, and Debian has the included files ahead of the others.
ROOT_STAYS = (
    f'{CAME}; [ "$user" = root ] || exit 0; {READS}; set -- $files; shift; for file in "$@" /etc/ssh/sshd_config; do '
    'value=$(awk \'{gsub(/["=\\r]/, " ")} tolower($1) == "match" {exit} '
    'tolower($1) == "permitrootlogin" {print tolower($2); exit}\' "$file"); [ -n "$value" ] || continue; '
    'case $value in no|forced-commands-only) echo "hardening_ssh_root: $file has PermitRootLogin $value, which is '
    "stricter and stays, and this run has come as root; come as another user with sudo, take that line out, or give "
    'ssh-root a waiver"; exit 1 ;; esac; exit 0; done'
)
READS_OURS = (
    "tr -d '\"\\r' </etc/ssh/sshd_config | grep -qiE '^[[:space:]]*include[[:space:]=].*sshd_config\\.d/[*]' || { "
    'echo "hardening_level: /etc/ssh/sshd_config does not read /etc/ssh/sshd_config.d, where our file is; put '
    'Include /etc/ssh/sshd_config.d/*.conf in front of its other lines, or leave ssh out of hardening_areas"; exit 1; }'
)


HAS_READ = Probe("sshd has read its files as they are", UNREAD)


def concerns_sshd(control: Control, want: Want) -> bool:
    """Whether sshd reads its files anew for it."""
    return any("ssh" in (item.get("file"), item.get("service")) for item in control.items(want))


def undoing() -> list[Probe]:
    """Where nothing of sshd's is asked for: what was, is undone."""
    return [Probe(HAS_READ.name, f"{TOLD_BY_US}; {HAS_READ.command}")]


def refusals(want: Want) -> list[Probe]:
    """Questions that end in a sentence when the answer would be that we can no longer come back."""
    waived = {waiver.control for waiver in want.s.waivers}
    held = {control.id for control in asked_for(want.s)} - waived
    found = []
    if any(control.id in held and concerns_sshd(control, want) for control in asked_for(want.s)):
        found.append(Probe("the port that this run came in at stays open", PORT_STAYS))
        found.append(HAS_READ)
        found.append(Probe("sshd reads a file of ours", READS_OURS))
    else:
        found += undoing()
    if "ssh-passwords" in held:
        found.append(
            Probe(
                "whoever deploys has a key",
                f'{CAME}; [ -n "$user" ] || exit 0; has=; {HAS_KEY} && has=${{has:-yes}}; [ -n "$has" ] || {{ '
                'echo "hardening_level: $user has no key that lets it in with any command, and passwords would be '
                "refused from now on; put a key into its authorized_keys, or give ssh-passwords a waiver, or set "
                'hardening_level to off"; '
                "exit 1; }",
            )
        )
    if "ssh-root" in held and want.s.ssh_root == "no":
        found.append(
            Probe(
                "whoever deploys is not root",
                f'{CAME}; [ "$user" != root ] || {{ echo "hardening_ssh_root: is no, and this run has come as root; '
                'come as another user with sudo first"; exit 1; }',
            )
        )
    if "ssh-root" in held and want.s.ssh_root != "no":
        found.append(Probe("whoever deploys as root may go on to", ROOT_STAYS))
    if "ssh-allowed" in held:
        users, groups = " ".join(want.s.ssh_users), " ".join(want.s.ssh_groups)
        if users:
            found.append(
                Probe(
                    "whoever deploys is among the users",
                    f'{CAME}; [ -n "$user" ] || exit 0; case " {users} " in *" $user "*) ;; *) echo '
                    f'"hardening_ssh_users: $user, as whom this run has come, is none of {users}"; exit 1 ;; esac',
                )
            )
        if groups:
            found.append(
                Probe(
                    "whoever deploys is in one of the groups",
                    f'{CAME}; [ -n "$user" ] || exit 0; for group in $(id -nG "$user"); do case " {groups} " in '
                    '*" $group "*) exit 0 ;; esac; done; echo "hardening_ssh_groups: $user, as whom this run has come, '
                    f'is in none of {groups}"; exit 1',
                )
            )
    quantum = want.release != "12" and want.s.ssh_key_exchange == "post-quantum" and "ssh-key-exchange" in held
    if quantum and not want.local:
        found.append(
            Probe(
                "whoever deploys can exchange such keys",
                f'{CAME}; [ -z "$user" ] || {{ echo "hardening_ssh_key_exchange: is post-quantum, and the SSH '
                "that pyinfra has knows no such key exchange: the next run could not come back; use compatible, or run "
                'on the host itself (@local)"; exit 1; }',
            )
        )
    return found
