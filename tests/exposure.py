"""How far out of its sandbox each unit may be: `systemd-analyze security`, from 0 to 10, a unit with nothing set 9.6.

Asked of the rendered units (tests/unit/test_exposure.py) and of those that run (tests/host/test_security.py), with the
systemd of Debian 12 and of Debian 13, which differ by a tenth or two.
"""

from __future__ import annotations

UNITS = {
    # They serve and ask whom the settings say: a network of their own, or a list of addresses, cannot be.
    "litellm.service": 1.0,
    "litellm-check.service": 1.0,
    "litellm-migrate.service": 1.0,
    "litellm-rehearse.service": 1.0,
    "litellm-gateway-probe.service": 1.0,
    "litellm-cache-health.service": 1.0,
    "portcullis-health.service": 1.0,
    # Served on this host alone.
    "litellm-metrics.service": 0.9,
    "litellm-recycle.service": 0.9,
    # It reads the memory that there is, and asks for the processors.
    "ollama.service": 1.4,
    # Before it; they compile no expression to code.
    "portcullis-ollama-guard.service": 1.2,
    # Its own names, ports below 1024, and code compiled from expressions.
    "haproxy.service": 1.6,
    # Debian's own sandbox.
    "redis-server.service": 1.2,
    # Clients' users are looked up, and what archives the log runs in it.
    "postgresql@.service": 1.4,
    # As the user of the database, whose shared memory must stay: RemoveIPC= would take it away.
    "portcullis-backup.service": 1.2,
    "portcullis-restore-drill.service": 1.2,
    # What of the tasks' rules was tried with no backup host is not on its server.
    "portcullis-pgbackrest.service": 1.8,
    # As root, for rules of the kernel's.
    "portcullis-firewall.service": 1.6,
}
# It changes the host itself: whatever it is not allowed it could not make true.
WITHOUT = {"portcullis-hardening.service"}


def allowed(unit: str) -> float:
    """What ``unit`` may have at most; a cluster of PostgreSQL's by its template."""
    return UNITS["postgresql@.service" if unit.startswith("postgresql@") else unit]
