"""A certificate for the edge of a lab, of an authority of its own; made once, kept beside the lab's other things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.lab import cache
from tests.unit import certificates


def folder(lab: str) -> Path:
    return cache.root() / "edge" / lab


def ensure(lab: str, address: str) -> None:
    """Make certificate and key for an edge that clients reach at ``address``, if they are not for it yet."""
    place = folder(lab)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "address").exists() or (place / "address").read_text() != address:
        certificates.edge(place, [address])
        (place / "address").write_text(address)


def settings(lab: str, address: str) -> dict[str, Any]:
    """The settings that name them; where they do not lie the deploy says so."""
    place = folder(lab)
    return {
        "edge_names": [address],
        "edge_tls_certificate": str(place / "edge.crt"),
        "edge_tls_key": f"file:{place / 'edge.key'}",
        "edge_tls_ca": str(place / "edge-ca.crt"),
    }
