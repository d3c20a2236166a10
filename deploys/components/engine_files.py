"""What the engine is told: daemon.json, and what makes it start anew when a part of that is another.

No service publishes a port: all use the host's network, or networks that nobody else is on. A published port goes
through rules of the engine's own, before those of the host's firewall, which would no longer decide who reaches it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from deploys.components.engine_settings import EngineSettings
from deploys.lib.component import ConfigFile
from deploys.lib.render import render

DAEMON = "/etc/docker/daemon.json"
DROP_IN = "/etc/systemd/system/docker.service.d/portcullis.conf"
LOOPBACK = "127.0.0.1"
# Taken up by a reload: daemon/reload.go of github.com/moby/moby, as of 24.0, and dockerd's manual. Everything else is
# read when the engine starts.
RELOADED = {
    "debug", "insecure-registries", "labels", "live-restore", "max-concurrent-downloads", "max-concurrent-uploads",
    "max-download-attempts", "registry-mirrors", "shutdown-timeout",
}  # fmt: skip


def values(s: EngineSettings) -> dict[str, Any]:
    """The content of daemon.json."""
    return {
        # A file per container that ends somewhere; Docker's own default grows until the disk is full.
        "log-driver": "local",
        "log-opts": {"max-size": f"{s.log_max_mb}m", "max-file": str(s.log_files)},
        # Containers go on while the engine restarts, for an upgrade of its package as well.
        "live-restore": True,
        # A port without an address stays on loopback: `ip` is for the default network only, the options for all others.
        "ip": LOOPBACK,
        "default-network-opts": {"bridge": {"com.docker.network.bridge.host_binding_ipv4": LOOPBACK}},
        "icc": False,
        # A process per published port that hides the client's address.
        "userland-proxy": False,
        "no-new-privileges": True,
        # Else it is containerd's, which is none: programs that close every number they might have open then take long.
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": s.open_files, "Hard": s.open_files}},
        "insecure-registries": s.insecure_registries,
        "registry-mirrors": s.registry_mirrors,
        **s.extra,
    }


def read_at_start(s: EngineSettings, authorities: list[str]) -> str:
    """A digest of what the engine reads only when it starts: most keys, and whom the host trusts (``authorities``)."""
    fixed = {key: value for key, value in values(s).items() if key not in RELOADED}
    return hashlib.sha256(json.dumps([fixed, authorities], sort_keys=True).encode()).hexdigest()[:12]


def config_files(s: EngineSettings, authorities: list[str]) -> list[ConfigFile]:
    """What the engine has on a host.

    A change of registries alone is a reload: a restart would end every unit that is attached to a container.
    """
    return [
        ConfigFile(DAEMON, json.dumps(values(s), indent=2) + "\n", effect="reload"),
        ConfigFile(DROP_IN, render("engine/portcullis.conf.j2", s, read_at_start=read_at_start(s, authorities))),
    ]
