"""How the gateway is asked: whether it works, and what would make a run fail half-way."""

from __future__ import annotations

import hashlib
import json
from shlex import quote

from deploys.components.engine_settings import built_elsewhere
from deploys.components.litellm import database, metrics, timers
from deploys.components.litellm.config import SELFTEST, public_name
from deploys.components.litellm.install import ALLOWED_PTH, ROOT, mirror_check, version_folder
from deploys.components.litellm.settings import LitellmSettings, workers_on
from deploys.components.ollama_models import models_of
from deploys.components.ollama_settings import OllamaSettings
from deploys.lib.component import Here, Probe
from deploys.lib.probes import local_url, patiently
from deploys.lib.programs import TOOLS
from deploys.lib.render import quote_env
from deploys.lib.runtime import contained

CONFIG = "/etc/litellm/config.yaml"
ENVIRONMENT = "/etc/litellm/.env"
LAUNCH = f"{TOOLS}/litellm-launch.py"
# The launcher imports it from its own folder.
SERVING = f"{TOOLS}/litellm_serving.py"
WORKERS = f"{TOOLS}/litellm-workers.py"
SITE = "lib/python3*/site-packages"


def base_url(here: Here) -> str:
    """Where the gateway answers on its own host."""
    s: LitellmSettings = here.settings(LitellmSettings)
    return local_url(s.listen, s.port)


def workers(here: Here) -> str:
    """A shell command that is true when every worker finished starting with the present configuration."""
    return f"/usr/bin/python3 {WORKERS} litellm.service {workers_on(here.member)} {CONFIG} /run/litellm/workers"


def schema(folder: str) -> str:
    """A shell command that is true when the database has the schema of the installation in ``folder``."""
    return database.asked("schema", folder, ENVIRONMENT)


def stored(name: str) -> str:
    """A shell word with a value of the environment file, its quoting undone."""
    return f"\"$(sed -n 's/^{name}=\"\\(.*\\)\"$/\\1/p' {ENVIRONMENT} | sed 's/\\\\\\(.\\)/\\1/g')\""


def asking(here: Here, path: str, body: object | None = None, key: str = "") -> str:
    """A curl command with the master key (or the shell word ``key``), which goes over standard input, never in argv."""
    value = key or stored("LITELLM_MASTER_KEY")
    data = f" -H 'Content-Type: application/json' -d {quote(json.dumps(body))}" if body is not None else ""
    # A proxy for the internet, which an environment may name, is not on the way to the gateway.
    curl = f"curl -sS --noproxy '*' --max-time 280 -H @-{data} {base_url(here)}{path}"
    return f"printf 'Authorization: Bearer %s\\n' {value} | {curl}"


def chat(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "ready?"}], "max_tokens": 16}


def virtual_key(here: Here) -> str:
    """A shell command that makes a key for two minutes, uses it and deletes it, by its alias: no key is shown."""
    alias = f"portcullis-verify-{here.member.name}"
    read = 'python3 -c \'import json, sys; print(json.load(sys.stdin).get("key", ""))\''
    generate = asking(here, "/key/generate", {"duration": "2m", "models": [SELFTEST], "key_alias": alias})
    use = asking(here, "/v1/chat/completions", chat(SELFTEST), key='"$made"')
    delete = asking(here, "/key/delete", {"key_aliases": [alias]})
    return (
        f"{delete} >/dev/null; made=$({generate} | {read}); [ -n \"$made\" ] || {{ echo 'no key was made'; exit 1; }}; "
        f"{use} | grep -q pong || {{ echo 'the key was refused'; exit 1; }}; "
        f"{delete} | grep -q deleted_keys || {{ echo 'the key was not deleted'; exit 1; }}; echo 'made, used, deleted'"
    )


def redis_ping(here: Here) -> str:
    """A shell command that is true when the gateway reaches Redis; it leaves Redis alone for 5 s after failures."""
    ask = f"{asking(here, '/cache/ping')} | grep -o '\"ping_response\": *true'"
    return patiently(ask, times=12, pause=2)


def strays() -> str:
    """A shell command that is true when no file but those of the virtual environment runs code in every Python."""
    names = f"path.name for path in pathlib.Path(sys.prefix).glob('{SITE}/*')"
    ask = f"import pathlib, sys; print(*({names} if path.name.endswith(('.pth', 'litellm'))), sep=chr(10))"
    allowed = " ".join(f"-e {quote(name)}" for name in ALLOWED_PTH)
    return (
        # It has looked in the right place when it has seen LiteLLM itself.
        f'found=$({ROOT}/current/venv/bin/python -c {quote(ask)}) && echo "$found" | grep -qx litellm && '
        f'! echo "$found" | grep -v -x -e litellm {allowed}'
    )


def probes(here: Here) -> list[Probe]:
    s: LitellmSettings = here.settings(LitellmSettings)
    url = base_url(here)
    found = [
        Probe(
            f"runs version {s.version}",
            f"{ROOT}/current/venv/bin/python -c 'from importlib.metadata import version as v; print(v(\"litellm\"))' | "
            f"grep -Fx {s.version}",
        ),
        Probe(
            "every worker finished starting",
            workers(here),
        ),
        Probe(
            "is ready with its database",
            f"curl -fsS --noproxy '*' --max-time 10 {url}/health/readiness | grep '\"connected\"'",
        ),
        Probe(
            "refuses a request without a key",
            f"[ \"$(curl -sS --noproxy '*' -o /dev/null -w '%{{http_code}}' {url}/v1/models)\" = 401 ] && echo 401",
        ),
        Probe(
            "refuses a wrong key",
            f"[ \"$({asking(here, '/v1/models', key='sk-wrong-key')} -o /dev/null -w '%{{http_code}}')\" = 401 ] && "
            "echo 401",
        ),
        Probe("answers a request", f"{asking(here, '/v1/chat/completions', chat(SELFTEST))} | grep -o pong"),
        Probe("has its database's schema", f"{schema(f'{ROOT}/current')} && echo 'every migration is there'"),
        Probe("makes, honours and deletes a virtual key", virtual_key(here), seconds=60),
        *([Probe("has its Redis", redis_ping(here))] if s.cache_mode != "off" else []),
        *metrics.probes(s),
        *timers.probes(s),
        Probe("has no stray .pth file", strays()),
        Probe(
            "keeps its secrets from others", f"[ \"$(stat -c '%a %U' {ENVIRONMENT})\" = '600 root' ] && echo 0600 root"
        ),
    ]
    for member in here.of("ollama"):
        settings: OllamaSettings = Here(member, here.site).settings(OllamaSettings)
        for model in models_of(settings):
            name = public_name(model.name)
            if model.mode == "chat":
                ask = f'{asking(here, "/v1/chat/completions", chat(name))} | grep -o \'"content": *"[^"]\\{{1,60\\}}\''
            else:
                body = {"model": name, "input": "ready?"}
                ask = f"{asking(here, '/v1/embeddings', body)} | grep -o '\"embedding\": *\\[[-0-9.e]*'"
            found.append(Probe(f"answers with {name}", ask, seconds=300))
    return found


def engines(here: Here) -> str:
    """A shell command that is true when Prisma's engines are there, in an image too, or can be had."""
    folder = version_folder(here)
    there = f"[ -x {folder}/prisma/query-engine ]"
    if contained(here):
        # What stands for the image's Python is there when the image was built.
        there = f"[ -x {folder}/venv/bin/python ]"
    return f"{there} || {{ {mirror_check(here.settings(LitellmSettings))}; }}"


def refusals(here: Here) -> list[Probe]:
    """What would make the run fail half-way, asked before anything changes."""
    s: LitellmSettings = here.settings(LitellmSettings)
    # Compared as digests, and as the file has it between its quotes: neither key is in a command line.
    salt = quote_env(s.salt_key.get_secret_value())[1:-1]
    offered = hashlib.sha256(salt.encode()).hexdigest()
    return [
        Probe(
            "another salt key",
            f'[ ! -s {ENVIRONMENT} ] || [ "$(sed -n \'s/^LITELLM_SALT_KEY="\\(.*\\)"$/\\1/p\' {ENVIRONMENT} | '
            f"tr -d '\\n' | sha256sum | cut -c 1-64)\" = {offered} ] || "
            "{ echo 'litellm_salt_key: this host has another "
            "salt key than the one offered; with a new one every stored credential and model would be unreadable. "
            "Offer the old one; it is in /etc/litellm/.env on the host'; exit 1; }",
        ),
        # An image has them, and may be built where the host itself could not have them from.
        *([] if s.image or built_elsewhere(here) else [Probe("Prisma engines", engines(here), seconds=60)]),
        *database.refusals(here),
    ]
