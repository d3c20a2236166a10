#!/opt/litellm/current/venv/bin/python
"""Serve the gateway's Prometheus metrics, added up over its workers, on an address of their own.

    metrics.py ADDRESS PORT FOLDER

Every worker keeps its samples in files in FOLDER (PROMETHEUS_MULTIPROC_DIR), which is there while the gateway runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector


class Workers:
    """What the workers have counted so far; nothing while there are none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterable[Metric]:
        # The folder goes with the gateway and comes back with it; this program stays.
        return MultiProcessCollector(None, str(self.folder)).collect() if self.folder.is_dir() else []


def main() -> None:
    address, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Workers(folder))  # type: ignore[arg-type]
    _, thread = start_http_server(port, addr=address, registry=registry)
    thread.join()


if __name__ == "__main__":
    main()
