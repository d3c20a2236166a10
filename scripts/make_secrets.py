"""Make strong secrets for an inventory's first deploy: `python scripts/make_secrets.py inventories/production.py`."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAKE: dict[str, Callable[[], str]] = {
    "LITELLM_MASTER_KEY": lambda: f"sk-{secrets.token_hex(32)}",
    "LITELLM_SALT_KEY": lambda: secrets.token_hex(32),
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(32),
    "POSTGRES_HEALTH_PASSWORD": lambda: secrets.token_urlsafe(32),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(32),
    "REDIS_HEALTH_PASSWORD": lambda: secrets.token_urlsafe(32),
    "BACKUPS_PASSPHRASE": lambda: secrets.token_urlsafe(32),
    "BACKUPS_CONFIGURATION_PASSPHRASE": lambda: secrets.token_urlsafe(32),
    "BACKUPS_TLS_SECRET": lambda: secrets.token_urlsafe(32),
    "SITE_TLS_SECRET": lambda: secrets.token_urlsafe(32),
}
HEAD = """# Secrets of {name}, made by `make secrets`.
# Keep a copy where you keep passwords, above all of LITELLM_SALT_KEY: LiteLLM encrypts stored credentials
# with it, and without it they cannot be read again. Never change it. Backups are encrypted with BACKUPS_PASSPHRASE:
# without it none of them can be restored.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inventory", type=Path, help="the inventory file the secrets are for")
    inventory = parser.parse_args().inventory
    if not inventory.is_file():
        print(f"{inventory}: there is no such inventory file", file=sys.stderr)
        return 2
    path = ROOT / "secrets" / f"{inventory.stem}.env"
    shown = path.relative_to(ROOT)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    old = path.read_text() if path.exists() else HEAD.format(name=inventory)
    # A line that was added by hand may be the last one without an end, or begin with spaces.
    old += "\n" if old and not old.endswith("\n") else ""
    present = {line.partition("=")[0].strip() for line in old.splitlines()}
    missing = [name for name in MAKE if name not in present]
    if not missing:
        print(f"{shown} has every secret; nothing was changed")
        return 0
    text = old + "".join(f"{name}={MAKE[name]()}\n" for name in missing)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
    print(f"{shown}: made {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
