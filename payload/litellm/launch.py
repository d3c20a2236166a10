#!/opt/litellm/current/venv/bin/python
"""Start LiteLLM's gateway, check its configuration, or migrate its database: what the systemd units call.

launch.py serve     LITELLM ARGUMENTS     run the gateway
launch.py validate  CONFIG                exit 0 when LiteLLM loads CONFIG and every model in it
launch.py migrate   CONFIG                bring the database to this version's schema, then exit
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/litellm"))
# Programs that run in every Python before anything of ours. 1.82.8 brought one that stole credentials.
SITE = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
ALLOWED_PTH = {"_virtualenv.pth", "distutils-precedence.pth"}


def fail(sentence: str, status: int = 1) -> None:
    print(f"portcullis: {sentence}", file=sys.stderr, flush=True)
    sys.exit(status)


def refuse_stray_pth() -> None:
    """A .pth file runs code in every Python of the environment; only the virtual environment's own may be there."""
    stray = sorted(path.name for path in SITE.glob("*.pth") if path.name not in ALLOWED_PTH)
    if stray:
        fail(f"unexpected .pth files in {SITE}: {', '.join(stray)}; the installation may be compromised", 3)


def option(arguments: list[str], name: str, default: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments else default


def refuse_busy_port(host: str, port: int) -> None:
    """LiteLLM takes a random port without a word when 4000 is busy; a gateway nobody finds is worse than none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"cannot listen on {host} port {port}: {error.strerror}", 3)


def serve(arguments: list[str]) -> None:
    refuse_stray_pth()
    refuse_busy_port(option(arguments, "--host", "0.0.0.0"), int(option(arguments, "--port", "4000")))
    # LiteLLM starts a thread in gunicorn's master just before it forks. That thread imports this codec; a worker that
    # is forked meanwhile inherits the import lock and waits for it for ever. Imported here, nothing is left to lock.
    import codecs

    codecs.lookup("ascii")
    # With migrations switched off, every start compares the schemas and passes the database's URL, password included,
    # on a command line that every local user can read. Migrations are a step of their own here: nothing to compare.
    from litellm.proxy.db import check_migration

    check_migration.check_prisma_schema_diff = lambda db_url=None: None
    # gunicorn gives running requests 30 s at a stop; this LiteLLM version has no way to tell it otherwise.
    from gunicorn.config import GracefulTimeout

    GracefulTimeout.default = int(os.environ.get("GRACEFUL_SHUTDOWN_TIMEOUT", "30"))
    import litellm_serving

    litellm_serving.arrange(Path(os.environ["RUNTIME_DIRECTORY"]) / "workers", GracefulTimeout.default)
    run_litellm(arguments)


def run_litellm(arguments: list[str]) -> None:
    sys.argv = ["litellm", *arguments]
    from litellm import run_server

    run_server()


REMEMBERED = 50
# Variables that differ from one start or unit to another and say nothing about the configuration.
PASSING = (
    *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_", "MEMORY_PRESSURE", "NOTIFY_", "WATCHDOG_", "MAINPID"),
    *("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "PROMETHEUS_MULTIPROC_DIR", "GRACEFUL_", "LITELLM_MIGRATION_DIR"),
    *("PRISMA_", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_", "PWD", "SHLVL", "_"),
)


def seal_of(config: Path) -> str:
    """What the verdict on a configuration depends on: its text, the environment, this program, the installation.

    Of secrets in the environment only this one digest of everything is kept.
    """
    variables = sorted(f"{name}={value}" for name, value in os.environ.items() if not name.startswith(PASSING))
    installation = str(Path(sys.prefix).resolve())
    parts = [config.read_bytes(), Path(__file__).read_bytes(), *(text.encode() for text in (installation, *variables))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def declared_models(config: Path) -> int:
    """How many models LiteLLM should load. A number in the unit instead would make every new model a restart.

    It counts another name of a group once for each of the group's deployments, unless the name is hidden.
    """
    import yaml

    loaded = yaml.safe_load(config.read_text()) or {}
    names = [entry["model_name"] for entry in loaded.get("model_list") or []]
    aliases = ((loaded.get("router_settings") or {}).get("model_group_alias") or {}).values()
    shown = [
        one if isinstance(one, str) else one["model"]
        for one in aliases
        if isinstance(one, str) or not one.get("hidden")
    ]
    return len(names) + sum(names.count(target) for target in shown)


def validate(config: Path) -> None:
    """Let LiteLLM load the configuration; refuse what it only warns about. Good verdicts are remembered."""
    refuse_stray_pth()
    stamp = STATE / "validated"
    seal = seal_of(config)
    known = stamp.read_text().split() if stamp.is_file() else []
    if seal in known:
        return
    # It fails on a directory for metrics that only the service has; INFO and below would print the configuration.
    environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"} | {"LITELLM_LOG": "WARNING"}
    command = [sys.executable, "-c", "from litellm import run_server; run_server()"]
    done = subprocess.run(
        [*command, "--config", str(config), "--validate_config"], env=environment, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    if done.returncode:
        fail(f"LiteLLM refuses {config}: {reason(output)}")
    ignored = re.findall(r"Key '([^']+)' is not a valid argument for Router", output)
    if ignored:
        fail(f"LiteLLM ignores these router_settings of {config}: {', '.join(sorted(set(ignored)))}")
    counted, models = re.search(r"config OK \((\d+) models?\)", output), declared_models(config)
    if not counted or int(counted.group(1)) != models:
        found = counted.group(1) if counted else "no"
        fail(f"LiteLLM loads {found} models from {config} and should load {models}: it drops an entry it cannot use")
    part = stamp.with_suffix(".part")
    # Of more than the last: going back to an earlier configuration in an emergency should not wait for this.
    part.write_text("\n".join([*known[1 - REMEMBERED :], seal]))
    part.replace(stamp)


def reason(output: str) -> str:
    """The line of LiteLLM's output that says what is wrong: the last one that is not part of a traceback."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith((" ", "Traceback"))]
    return (lines or ["no reason given"])[-1][:300]


def main() -> None:
    word, *arguments = sys.argv[1:] or [""]
    if word == "serve":
        serve(arguments)
    elif word == "validate" and len(arguments) == 1:
        validate(Path(arguments[0]))
    elif word == "migrate" and len(arguments) == 1:
        refuse_stray_pth()
        os.environ.pop("DISABLE_SCHEMA_UPDATE", None)
        run_litellm(["--config", arguments[0], "--skip_server_startup"])
    else:
        fail(__doc__ or "", 2)


if __name__ == "__main__":
    main()
