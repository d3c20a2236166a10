"""The gateway's launcher beside stand-ins for LiteLLM and its servers, imported or as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploys.lib.render import ROOT

PROGRAM = ROOT / "payload" / "litellm" / "launch.py"
# What the launcher touches of LiteLLM and of its servers, and no more; it says what it found, or what it is told to.
FAKES = {
    "litellm/__init__.py": """
import asyncio, json, os, sys
from pathlib import Path
def run_server():
    if "--validate_config" in sys.argv:
        told = json.loads((Path(__file__).parent / "told.json").read_text())
        with (Path(__file__).parent / "asked").open("a") as asked:
            asked.write(f"{os.environ['LITELLM_LOG']} {os.environ.get('PROMETHEUS_MULTIPROC_DIR')}\\n")
        print(told["output"], file=sys.stderr)
        sys.exit(told["status"])
    found = {"codec": "encodings.ascii" in sys.modules, "arguments": sys.argv}
    from litellm.proxy.db import check_migration
    from gunicorn.config import GracefulTimeout
    from uvicorn.lifespan.on import LifespanOn
    from gunicorn.arbiter import Arbiter
    from uvicorn.server import Server
    ours = Arbiter.reload, Arbiter.manage_workers, Arbiter.kill_worker, Arbiter.reap_workers, Server.shutdown
    found["arranged"] = [one.__module__ for one in ours]
    found["grace"] = GracefulTimeout.default
    found["schemas"] = check_migration.check_prisma_schema_diff("postgresql://u:secret@h/d")
    lifespan = LifespanOn(os.environ.get("FAILS") == "1")
    asyncio.run(lifespan.startup())
    asyncio.run(lifespan.shutdown())
    from litellm.proxy import proxy_server
    found["ended"] = proxy_server.done
    print(json.dumps(found))
""",
    "litellm/proxy/__init__.py": "",
    "litellm/proxy/proxy_server.py": """
import os
prisma_client, db_writer_client, proxy_logging_obj = os.environ.get("DATABASE"), "writer", "log"
done = []
async def update_spend(*what):
    done.append(["spend", *what])
    if prisma_client == "away":
        raise OSError
""",
    "litellm/proxy/db/__init__.py": "",
    "litellm/proxy/db/check_migration.py": """
def check_prisma_schema_diff(db_url=None):
    return f"prisma migrate diff --from-url {db_url}"
""",
    "gunicorn/__init__.py": "",
    "gunicorn/arbiter.py": """
class Arbiter:
    def reload(self): pass
    kill_worker = manage_workers = reap_workers = reload
""",
    "gunicorn/errors.py": "class HaltServer(BaseException): pass\n",
    "gunicorn/config.py": "class GracefulTimeout:\n    default = 30\n",
    "uvicorn/__init__.py": "",
    "uvicorn/server.py": "class Server:\n    async def shutdown(self, sockets=None): pass\n",
    "uvicorn/lifespan/__init__.py": "",
    "uvicorn/lifespan/on.py": """
class LifespanOn:
    def __init__(self, should_exit):
        self.should_exit = should_exit
    async def startup(self):
        pass
    async def shutdown(self):
        from litellm.proxy import proxy_server
        proxy_server.done.append(["end"])
""",
}
START = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("launch", sys.argv[1])
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)
launch.SITE = pathlib.Path(sys.argv[2])
sys.argv = sys.argv[1:2] + sys.argv[3:]
launch.main()
"""


def lay_out(folder: Path) -> None:
    """Put the stand-ins into ``folder``, an empty site-packages beside them, and folders for the state."""
    for name, text in FAKES.items():
        path = folder / "fakes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("site", "state", "run"):
        (folder / name).mkdir()


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The launcher as a module that works in ``folder``."""
    spec = importlib.util.spec_from_file_location("launch", PROGRAM)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "SITE", folder / "site")
    monkeypatch.setattr(made, "STATE", folder / "state")
    monkeypatch.setenv("PYTHONPATH", str(folder / "fakes"))
    return made


def started(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The launcher as a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        # Its own folder is the first place where a program looks; here it is read by another.
        "PYTHONPATH": f"{folder / 'fakes'}:{PROGRAM.parent}",
        "RUNTIME_DIRECTORY": str(folder / "run"),
        **variables,
    }
    command = [sys.executable, "-c", START, str(PROGRAM), str(folder / "site"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def refused(capsys: pytest.CaptureFixture[str], call: Any, *arguments: Any) -> tuple[int, str]:
    """Exit status and sentence of a refusal."""
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err.strip()
