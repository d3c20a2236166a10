"""What sshd's files are asked before sshd is told to read them anew: nobody else's change is put into use by us."""

from __future__ import annotations

from deploys.components.hardening.plan import FILES
from deploys.lib.transaction import STATE

OWN = FILES["ssh"][0]
# What sshd had read when we told it to, and when: payload/hardening/harden_sshd.py.
NOTED = f"{STATE}/hardening/first.json"
# A file may be written in the second in which sshd starts; and sshd may say a moment later that it has read it.
TOLERANCE_SECONDS = 3
# Undoing has sshd read its files as well, where we have had it read them before.
TOLD_BY_US = f'grep -qs \'^  "ssh": "\' {NOTED} || exit 0'
# Sets $files: what sshd reads, without ours, which has its own account of what was read.
READS = (
    "export LC_ALL=C; files=; set -- /etc/ssh/sshd_config; while [ $# -gt 0 ]; do file=$1; shift; "
    f'case " $files {OWN} " in *" $file "*) continue ;; esac; files="$files $file"; '
    "for name in $(sed -n 's/^[[:space:]]*include[[:space:]=]*//Ip' \"$file\" 2>/dev/null | tr -d '\"\\r'); do "
    "case $name in /*) ;; *) name=/etc/ssh/$name ;; esac; "
    # One with a space in its name is left out here as it is in the program on the host.
    'for one in $name; do case $one in *[[:space:]]*) ;; *) [ ! -f "$one" ] || set -- "$@" "$one" ;; esac; '
    "done; done; done"
)
# systemd notes the time of each start and of each reload; where sshd listens for each connection anew (ssh.socket), it
# reads its files for each as well. Contents that sshd has read when we told it to are no change, however old that is: a
# mode is not read, and control ssh-files sets one itself.
UNREAD = (
    "systemctl is-active --quiet ssh.service || exit 0; "
    "read=$(systemctl show --timestamp=unix -P StateChangeTimestamp ssh.service); read=${read#@}; "
    f"case $read in ''|*[!0-9]*) exit 0 ;; esac; {READS}; "
    f'noted=$(sed -n \'s/^ "read": "\\([0-9]* [0-9a-f]*\\)".*/\\1/p\' {NOTED} 2>/dev/null); '
    'is=$(for file in $(printf "%s\\n" $files | sort); do echo "$file"; cat "$file"; done 2>/dev/null | sha256sum); '
    'at=${noted%% *}; changed=; [ -z "$noted" ] || [ "${noted#* }" != "${is%% *}" ] || exit 0; '
    f'[ "${{at:-0}}" -lt $((read - {TOLERANCE_SECONDS})) ] || changed="a file of /etc/ssh"; '
    f'for file in $files; do [ "$(stat -L -c %Z "$file" 2>/dev/null || echo 0)" -le $((read + {TOLERANCE_SECONDS})) ] '
    '|| changed=$file; done; [ -z "$changed" ] || { echo "hardening_level: $changed has changed since sshd read it, '
    "and this run would have it read anew, whoever it keeps out; reload sshd (systemctl reload ssh) and come in again, "
    'or put it back"; exit 1; }'
)
