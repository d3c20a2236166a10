"""What runs on a host in a transient unit of its own, as shell text: it ends also when nobody watches any more."""

from __future__ import annotations

from shlex import quote

from deploys.lib.transaction import STATE

# Longer than any step takes that gets on: 40 GB of model at 3 MB/s. One that hangs holds up every later run until then.
STEP_SECONDS = 4 * 3600
# How often something that takes long shows what it is doing, in seconds.
SHOW_SECONDS = 5.0

# Where system programs look for certificate authorities. pip, uv and Node each bring a list of their own, which
# does not have a company's; these variables point all three at the host's.
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUST = {
    "SSL_CERT_FILE": CA_BUNDLE,
    "PIP_CERT": CA_BUNDLE,
    "REQUESTS_CA_BUNDLE": CA_BUNDLE,
    "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
}


def step_text(script: str, folder: str, seal: str, seconds: int = STEP_SECONDS) -> str:
    """What a step's unit runs: ``script`` with its environment, and ``seal`` in ``folder``/done when it is over."""
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in TRUST.items())
    ended = f"ended from outside before it was over: by systemctl, or because it had taken {seconds // 3600} h"
    return (
        # Where Debian keeps proxy variables for everyone; a unit does not read it by itself.
        f"set -a; [ ! -r /etc/environment ] || . /etc/environment; set +a\n"
        f"trap {quote(f'echo {quote(ended)}; exit 1')} TERM\n"
        f"set -eu; umask 022; export HOME=/root DATA={folder}/data; {exports}"
        f"{script}\necho {seal} >{folder}/done.part; mv -f {folder}/done.part {folder}/done\n"
    )


def after(unit: str) -> str:
    """Shell text that waits for a transient unit of an earlier run, or of another operator, to end.

    It holds a lock until the command is over, which then has started the unit anew: two that wait do not both go on.
    """
    lock = f"mkdir -p -m 0700 {STATE}; exec 9>{STATE}/lock; flock 9"
    # One that was killed may be putting things right (ExecStopPost=).
    wait = f"while systemctl is-active {unit} | grep -q -x -e active -e deactivating; do sleep 1; done"
    return f"{lock}; {wait}; systemctl reset-failed {unit} 2>/dev/null;"


def start(unit: str, folder: str) -> str:
    """The beginning of a command line that runs something in a transient unit, with its output in ``folder``/log.

    Appended to a new file: a unit's further commands would truncate what the first one has said.
    """
    return (
        f"rm -f {folder}/log; "
        f"systemd-run --quiet --collect --unit={unit} --setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
        f"/sbin:/bin -p StandardOutput=append:{folder}/log -p StandardError=append:{folder}/log"
    )
