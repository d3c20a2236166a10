"""Every run of the plan tests, made once and two at a time: starting pyinfra costs more than what it does then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.plan import ledgers
from tests.plan.command import MARK, Ran, pyinfra, started

SITE, BACK, HISTORY = "deploys/site.py", "deploys/rollback.py", "deploys/history.py"
# An engine of this machine that builds whatever it is asked for.
WORKS = """case "$1 $2" in
"version "*) echo 26.1.5 amd64 ;;
"buildx build") sleep 0.5; echo "#1 built" ;;
"save "*) echo an image ;;
esac"""
HARDEN, SBOM = "deploys/harden.py", "deploys/sbom.py"
# Inventories that differ from inventories/fake.py in one thing each.
VARIED = {
    "compose": (
        "from inventories import fake as _fake\n"
        "for _group in ('postgres', 'redis', 'ollama', 'litellm'):\n"
        "    globals()[_group] = [(name, {**data, 'runtime': 'compose'}) for name, data in getattr(_fake, _group)]\n"
    ),
    # Images are built on this machine: two gateways that have the same, and one whose image has to be built first.
    "shipped": (
        "from inventories.fake import _answers, ollama, postgres, redis\n"
        "from inventories.fake import litellm as _litellm\n"
        "_has = [f'value {name} 1' for name in ('LITELLM_ID', 'LIBATOMIC1', 'OPENSSL', 'LIBRARIES')]\n"
        "_own = {'left() { d=': ['there', '0', '1'], 'echo \"architecture': [*_has, 'architecture amd64'],\n"
        "        'portcullis-gather': ['bG9naW5z'], **_answers}\n"
        "_data = {'runtime': 'compose', 'engine_images_from': 'controller', 'fake_responses': _own}\n"
        "litellm = [(name, {**data, **_data}) for name, data in _litellm]\n"
    ),
    "no-workshop": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_own = {'left() { d=': ['amd64 9000 9000', '0', '1'], **_answers}\n"
        "_data = {'runtime': 'compose', 'fake_responses': _own,\n"
        "    'engine_images_from': 'controller'}\n"
        "litellm = [(name, {**data, **_data}) for name, data in litellm[:1]]\n"
    ),
    # Hosts that say what is on them.
    "billed": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_says = {'importlib.metadata': ['of\\tlitellm', 'pypi\\tlitellm\\t1.106.2\\tsha256:' + '1' * 64]}\n"
        "litellm = [(name, {**data, 'fake_responses': {**_says, **_answers}}) for name, data in litellm[:1]]\n"
    ),
    "no-hosts": "litellm = []\n",
    "no-redis": "from inventories.fake import litellm, ollama, postgres\n",
    "stranger": "web = ['@fake/web']\n",
    "bastion": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        # A fake host answers with success to `exit 1` too.
        "_end = {'nothing was asked on any host': {'success': False, 'stderr': 'nothing was asked'}}\n"
        "bastion = [('@fake/bastion', {'fake_responses': {**_end, **_answers}})]\n"
    ),
    "too-large": (
        "from inventories.fake import litellm, ollama, postgres, redis\n"
        "redis = [(name, {**data, 'memory_mb': 65536}) for name, data in redis]\n"
    ),
    "sudoo": (
        "from inventories.fake import litellm, ollama, postgres, redis\n"
        "redis = [(name, {**data, '_sudoo': True}) for name, data in redis]\n"
    ),
    "old-debian": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_old = {'/etc/os-release': ['ID=debian', 'VERSION_ID=\"11\"', 'PRETTY_NAME=\"Debian 11\"', 'INIT=systemd']}\n"
        "redis = [(name, {**data, 'fake_responses': {**_old, **_answers, **_old}}) for name, data in redis]\n"
    ),
    "port-taken": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_ss = {'ss -Hltnp': ['LISTEN 0 511 0.0.0.0:6379 0.0.0.0:* users:((\"valkey-server\",pid=7,fd=6))']}\n"
        "redis = [(name, {**data, 'fake_responses': {**_ss, **_answers}}) for name, data in redis]\n"
    ),
    "closed": (
        "from inventories import fake as _fake\n"
        "_closed = {'firewall_ingress': 'needed', 'firewall_operator_networks': ['203.0.113.0/24']}\n"
        "for _group in ('postgres', 'redis', 'ollama', 'litellm'):\n"
        "    globals()[_group] = [(name, {**data, **_closed}) for name, data in getattr(_fake, _group)]\n"
    ),
    "shut-out": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_closed = {\n"
        "    'firewall_ingress': 'needed',\n"
        "    'firewall_operator_networks': ['203.0.113.0/24'],\n"
        "}\n"
        "_came = {'SSH_CONNECTION': ['198.51.100.4 50000 192.0.2.11 22', '0', '1']}\n"
        "redis = [(n, {**data, **_closed, 'fake_responses': {**_came, **_answers}}) for n, data in redis]\n"
    ),
    # Settings from every place that there is: beside the inventory, in it, and in files of --group-data.
    "placed/fake": (
        "from inventories.fake import litellm, ollama, postgres\n"
        "from inventories.fake import redis as _redis\n"
        "_wrong = {\n"
        "    'redis_port': 70000,\n"
        "}\n"
        "redis = [(name, {**data, **_wrong}) for name, data in _redis]\n"
        "postgres = (postgres, {\n"
        "    'postgres_port': '5432',\n"
        "})\n"
    ),
    "placed/group_data/litellm": "litellm_port = 'beaten'\nlitellm_models = [\n    {'modle': 'x'},\n]\n",
    "placed/more/litellm": "\n\nlitellm_port = 0\n",
    "ledgers": ledgers.inventory(),
    "rewind": ledgers.inventory(rewinds=True),
    "rewind-fails": ledgers.inventory(rewinds=True, fails=True),
    "held": ledgers.held(),
    # A host that has the areas ssh and sudo of the baseline.
    "hardened": (
        "import base64 as _base64\nimport json as _json\n"
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_plan = {'level': 'baseline', 'controls': [{'area': 'ssh'}, {'area': 'sudo'}]}\n"
        "_had = {'base64 /var/lib/portcullis/hardening': [_base64.b64encode(_json.dumps(_plan).encode()).decode()],\n"
        "    'harden.py left': ['package x: cannot be undone: y needs it', '1', '5']}\n"
        "redis = [(name, {**data, 'fake_responses': {**_had, **_answers}}) for name, data in redis]\n"
    ),
    "gateway-fails": (
        "from inventories.fake import _answers, litellm, ollama, postgres, redis\n"
        "_bad = {'cat /var/lib/portcullis/switched/litellm.': {'success': False, 'stderr': 'not ready'}}\n"
        "litellm = [(name, {**data, 'fake_responses': {**_bad, **_answers}}) for name, data in litellm]\n"
    ),
}


def cases(folder: Path) -> dict[str, Callable[[], Ran]]:
    """Every run by name. ``folder`` has the varied inventories."""

    def on(name: str, *arguments: str) -> Callable[[], Ran]:
        return lambda: pyinfra(*(arguments or (SITE, "--json")), inventory=folder / f"{name}.py")

    def built(name: str, docker: str, *arguments: str) -> Callable[[], Ran]:
        """With an engine on this machine that is what ``docker`` says."""
        program = folder / name / "docker"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{docker}\n")
        program.chmod(0o755)
        data = f"engine_images_cache={program.parent}/cache"
        path = f"{program.parent}:{os.environ['PATH']}"
        return lambda: pyinfra(SITE, *arguments, "--data", data, inventory=folder / f"{name}.py", PATH=path)

    root = Path(__file__).resolve().parents[2]
    site = str(root / SITE)
    fake = root / "inventories" / "fake.py"
    back_wrong = ("onyl=litellm", "litellm_port=4001", "run=yesterday")
    strict, bare = (("--data", f"hardening_level={level}") for level in ("strict", "off"))
    wrong = ("redis_prot=6380", f"redis_password={MARK}-literal", "litellm_salt_key=007")
    return {
        "plan": lambda: started(SITE, "--json", "--diff", "-vvv", "--debug"),
        "loud": lambda: pyinfra(SITE, "-y", "-vvv", "--debug", "--diff", "--data", "fake_delay=0.005"),
        "inventory": lambda: pyinfra("debug-inventory", "--json"),
        "verify one component": lambda: pyinfra("deploys/verify.py", "-y", "--data", "components=redis", *bare),
        "verify beside a bastion": on("bastion", "deploys/verify.py", "-y"),
        "verify a bastion only": on("bastion", "deploys/verify.py", "-y", "--limit", "bastion"),
        "verify": lambda: pyinfra("deploys/verify.py", "-y", "--debug"),
        "one component": lambda: pyinfra(SITE, "--json", "--data", "components=redis", *bare),
        "gateway fails": on("gateway-fails", SITE, "-y", "--debug"),
        "stranger": on("stranger", SITE, "-y", "--debug"),
        "no inventory": lambda: pyinfra(SITE, "-y", inventory="inventories/prodction.py"),
        "a folder": lambda: pyinfra(SITE, "-y", inventory="tests/golden"),
        "folder of inventories": lambda: pyinfra(SITE, "-y", inventory=folder),
        "no hosts": on("no-hosts", SITE, "-y"),
        "limit": lambda: pyinfra(SITE, "-y", "--limit", "@fake/gw-1", "--exclude", "litellm"),
        "elsewhere": lambda: pyinfra(site, "-y", inventory=fake, cwd=folder),
        "elsewhere with config": lambda: pyinfra(
            site, "-y", "--config", str(root / "config.py"), inventory=fake, cwd=folder
        ),
        "wrong": lambda: pyinfra(
            SITE,
            "-y",
            "--debug",
            "--group-data",
            str(folder / "placed" / "more"),
            *(word for one in wrong for word in ("--data", one)),
            inventory=folder / "placed" / "fake.py",
            REDIS_HEALTH_PASSWORD=None,
        ),
        "harden": lambda: pyinfra(HARDEN, "--json"),
        "harden off": lambda: pyinfra(HARDEN, "-y", "--data", "only=ssh", *bare),
        "harden more": on("hardened", HARDEN, "-y", "--debug", "--data", "only=modes", *strict),
        "harden less": on("hardened", HARDEN, "-y", "--debug", "--data", "only=ssh", "--data", "undo=true"),
        "harden wrong": lambda: pyinfra(HARDEN, "-y", "--debug", "--data", "only=shh", *strict),
        "harden site": lambda: pyinfra(SITE, "-y", "--data", "undo=true"),
        "compose": on("compose", SITE, "--json"),
        "shipped": built("shipped", WORKS, "-y", "--debug", "--data", "components=litellm,health"),
        "no workshop": built("no-workshop", "echo 'it is off' >&2; exit 1", "-y", "--debug"),
        "closed": on("closed", SITE, "--json"),
        "shut out": on("shut-out", SITE, "-y", "--debug"),
        "no redis": on("no-redis", SITE, "-y", "--debug"),
        "old debian": on("old-debian", SITE, "-y", "--debug"),
        "too large": on("too-large", SITE, "-y", "--debug"),
        "sudoo": on("sudoo", SITE, "-y", "--debug"),
        "port taken": on("port-taken", SITE, "-y", "--debug"),
        "dry": lambda: pyinfra(SITE, "--dry", "--debug"),
        "held": on("held", SITE, "-y", "--debug"),
        "history": on("ledgers", HISTORY, "-y", "--debug"),
        "history elsewhere": lambda: pyinfra(str(root / HISTORY), "-y", "--debug", inventory=fake, cwd=folder),
        "back": on("ledgers", BACK, "-y", "--debug", "--data", "fake_delay=0.001"),
        "back dry": on("ledgers", BACK, "--dry", "--debug"),
        "back wrong": on("ledgers", BACK, "-y", "--debug", *(word for one in back_wrong for word in ("--data", one))),
        "back unknown": on("ledgers", BACK, "-y", "--debug", "--data", "run=20250101T000000Z-abcd"),
        "rewind": on("rewind", BACK, "-y", "--debug", "--data", "restore_dump=true", "--data", "fake_delay=0.001"),
        "rewind fails": on("rewind-fails", BACK, "-y", "--debug", "--data", "restore_dump=true"),
        "rewind dry": on("rewind", BACK, "--dry", "--debug", "--data", "restore_dump=true"),
        "rewind unsaid": on("rewind", BACK, "-y", "--debug", "--data", "only=litellm"),
        "rewind without db": on("rewind", BACK, "-y", "--debug", "--limit", "litellm", "--data", "restore_dump=true"),
        "rewind without gw": on(
            "rewind", BACK, "-y", "--debug", "--exclude", "@fake/gw-2", "--data", "restore_dump=true"
        ),
        "back elsewhere": lambda: pyinfra(str(root / BACK), "-y", "--debug", inventory=fake, cwd=folder),
        "bill": on("billed", SBOM, "-y", "--debug", "--limit", "litellm", "--data", f"to={folder}/bills"),
        "no bill": on("billed", SBOM, "-y", "--debug", "--limit", "redis", "--data", f"to={folder}/bills"),
        "part of the site": lambda: pyinfra(SITE, "--json", "--limit", "litellm"),
    }


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    folder = tmp_path_factory.mktemp("inventories")
    for name, text in VARIED.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run) for name, run in cases(folder).items()}


@pytest.fixture(scope="session")
def ran(runs: dict[str, Future[Ran]]) -> Callable[[str], Ran]:
    return lambda name: runs[name].result()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this tier in one process of `-n`: its runs of pyinfra are made once and shared."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("plan"))
