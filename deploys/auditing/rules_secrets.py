"""Rules about secrets: keys everyone knows, keys in the wrong place, keys that are not what they seem."""

from __future__ import annotations

from collections.abc import Iterator

from deploys.auditing.findings import remove_key, set_value
from deploys.auditing.masking import is_secret, read_mark
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.subject import ENVIRON, Subject

MASTER = ("general_settings", "master_key")


@rule(
    "L02",
    P0,
    "os.environ/ in an environment variable",
    effect="The variable's value is that text, letter by letter: a secret that everyone who reads this page knows.",
    advice="Write the value itself into the environment; os.environ/NAME works in config.yaml only.",
    source="litellm/proxy/common_utils/encrypt_decrypt_utils.py:32",
)
def reference_in_environment(s: Subject) -> Iterator[Hit]:
    for name, variable in s.variables.items():
        inside = s.config.has("environment_variables", name)
        if variable.value.startswith(ENVIRON) and not inside:
            yield Hit(variable.place, f"{name} is the literal text {variable.value}")


@rule(
    "L03",
    P0,
    "Master key missing, public or weak",
    effect="Since 1.104 the gateway does not start without one or with the one of the tutorials; "
    "before, it is open to everybody. Who holds this key is the administrator.",
    advice="Set LITELLM_MASTER_KEY=sk-$(openssl rand -hex 32) in the environment and refer to it.",
    source="litellm/proxy/auth/master_key_boot_check.py:79",
)
def master_key(s: Subject) -> Iterator[Hit]:
    given = s.config.get(*MASTER)
    reference = set_value(s.config, MASTER, "os.environ/LITELLM_MASTER_KEY")
    path = MASTER if s.config.has(*MASTER) else ()
    variable = s.variables.get("LITELLM_MASTER_KEY")
    place = s.config.place(*MASTER)
    if isinstance(given, str) and given.startswith(ENVIRON):
        variable = s.variables.get(given.removeprefix(ENVIRON))
        if variable is None and s.knows_environment:
            yield Hit(place, f"{given.removeprefix(ENVIRON)} is not set, so the gateway has no master key", path=path)
    value = given
    if variable is not None and (not given or str(given).startswith(ENVIRON)):
        value, place, reference = variable.value, variable.place, []
    if value is None or value == "":
        if s.knows_environment or s.config.has(*MASTER):
            yield Hit(place, "there is no master key", path=path)
        return
    mark = read_mark(value)
    if mark is None:
        if not str(value).startswith((ENVIRON, "$")):
            yield Hit(place, f"the master key is {str(value)!r}, which is no key", tuple(reference), path=path)
        return
    length, traits = mark
    if "well-known" in traits:
        yield Hit(place, "the master key is one that tutorials use", tuple(reference), path=path)
    elif "sk" not in traits:
        yield Hit(place, "the master key does not begin with sk-; clients' keys must", tuple(reference), path=path)
    elif length < 20 or "weak" in traits or "placeholder" in traits:
        why = f"has {length} characters" if length < 20 else "looks like a placeholder or repeats few characters"
        yield Hit(place, f"the master key {why}", tuple(reference), P1, path)


@rule(
    "S09",
    P0,
    "A variable that config.yaml refers to is not set",
    effect="LiteLLM puts nothing in its place and says nothing: an API key is missing, an address is None.",
    advice="Set the variable, or take the reference out.",
    source="litellm/proxy/proxy_server.py (os.environ/ through get_secret)",
)
def unset_reference(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        if isinstance(value, str) and value.startswith(ENVIRON) and s.resolve(value) is None and path != MASTER:
            optional = path[-1] in ("username", "port", "ssl")
            name = value.removeprefix(ENVIRON)
            yield at(s, path, f"{name} is not in the environment that was given", severity=P1 if optional else None)


@rule(
    "S01",
    P0,
    "A secret that everyone knows, or can guess",
    effect="Whoever has read the same tutorial can log in, or decrypt what is stored.",
    advice="Make a new one: openssl rand -hex 32. A salt key in use must first be migrated, not just replaced.",
    source="https://docs.litellm.ai/docs/proxy/deploy (the values of its examples)",
)
def public_secret(s: Subject) -> Iterator[Hit]:
    for name, variable in s.variables.items():
        mark = read_mark(variable.value)
        if mark is None or name == "LITELLM_MASTER_KEY" or s.config.get(*MASTER) == f"{ENVIRON}{name}":
            continue
        length, traits = mark
        if "well-known" in traits:
            yield Hit(variable.place, f"{name} has a well-known default in it")
        elif name == "LITELLM_SALT_KEY" and (length < 16 or "weak" in traits):
            yield Hit(variable.place, f"{name} has {length} characters or few different ones", severity=P1)
    for path, value in s.config.walk():
        mark = read_mark(value)
        if mark and "well-known" in mark[1] and path != MASTER and path[0] != "environment_variables":
            yield at(s, path, f"{path[-1]} has a well-known default in it")


@rule(
    "S02",
    P1,
    "A secret in config.yaml",
    effect="It is in every copy of the file: in git, in backups, in a ticket.",
    advice="Put it into the environment file (mode 0600) and refer to it as os.environ/NAME; then change it.",
    source="litellm/proxy/proxy_server.py (os.environ/ through get_secret)",
)
def secret_in_config(s: Subject) -> Iterator[Hit]:
    for path, value in s.config.walk():
        mark = read_mark(value)
        if mark is None or {"placeholder", "maybe"} & mark[1]:
            continue
        name = next((str(part) for part in reversed(path) if isinstance(part, str)), "value")
        inside = any(isinstance(part, str) and part.lower().endswith("headers") for part in path[:-1])
        if inside and not is_secret(name) and "sk" not in mark[1]:
            continue  # every header's value is masked, and most are no secrets
        own = path[-1] == name and is_secret(name)
        fix = set_value(s.config, path, f"os.environ/{_variable(s, path)}") if own else []
        yield Hit(s.config.place(*path), f"{name} has a secret in it", tuple(fix))


def _variable(s: Subject, path: tuple[str | int, ...]) -> str:
    """A name for the variable a secret should move to."""
    name = str(path[-1]).upper().replace("-", "_")
    if path == MASTER:
        return "LITELLM_MASTER_KEY"
    if path[0] == "model_list" and isinstance(path[1], int):
        provider = next((d.provider for d in s.deployments if d.index == path[1]), "") or "MODEL"
        return f"{provider.upper().replace('-', '_')}_{name}"
    return name if path[0] != "litellm_settings" or "cache_params" not in path else f"REDIS_{name}"


@rule(
    "S03",
    P1,
    "No salt key",
    effect="Stored provider keys are encrypted with the master key instead; change that one and they are unreadable.",
    advice="Before the first model or credential is stored: LITELLM_SALT_KEY=$(openssl rand -hex 32), kept for ever.",
    source="litellm/proxy/common_utils/encrypt_decrypt_utils.py:32",
)
def no_salt(s: Subject) -> Iterator[Hit]:
    database = s.variable("DATABASE_URL") or s.config.get("general_settings", "database_url")
    if database and s.knows_environment and "LITELLM_SALT_KEY" not in s.variables:
        stored = s.config.get("general_settings", "store_model_in_db") is True
        place = s.variables["DATABASE_URL"].place if "DATABASE_URL" in s.variables else s.config.place(*MASTER[:1])
        yield Hit(place, "there is a database and no LITELLM_SALT_KEY", severity=None if stored else P1)


@rule(
    "S08",
    P1,
    "OLLAMA_API_KEY goes to every Ollama",
    effect="LiteLLM sends it as bearer token to each ollama_chat deployment without a key of its own, local ones too.",
    advice="Name it OLLAMA_CLOUD_API_KEY and refer to it in the cloud entries only.",
    source="litellm/main.py:4545",
)
def ollama_key(s: Subject) -> Iterator[Hit]:
    if "OLLAMA_API_KEY" in s.variables and any(d.provider == "ollama_chat" and d.local for d in s.deployments):
        yield Hit(s.variables["OLLAMA_API_KEY"].place, "OLLAMA_API_KEY is set, and there are local Ollama models")


@rule(
    "S07",
    P2,
    "API documentation open to everybody",
    effect="/, /redoc and /openapi.json need no key; the last is 2 MB and holds the event loop for seconds.",
    advice="Set NO_DOCS=True, NO_REDOC=True and NO_OPENAPI=True.",
    source="litellm/proxy/utils.py:8655",
)
def public_docs(s: Subject) -> Iterator[Hit]:
    missing = [name for name in ("NO_DOCS", "NO_REDOC", "NO_OPENAPI") if not s.variable(name)]
    if s.env is not None and missing and any(launch.public for launch in s.launches):
        yield Hit(s.launches[0].place, f"{', '.join(missing)} not set, and the gateway listens for others")


@rule(
    "S10",
    P0,
    "The check of the master key is switched off",
    effect="The gateway starts without a key, or with the public one, and serves everybody.",
    advice="Take the override out and set a strong master key.",
    source="litellm/proxy/auth/master_key_boot_check.py:13",
)
def check_switched_off(s: Subject) -> Iterator[Hit]:
    path = ("general_settings", "dangerously_permit_weak_or_unset_master_key")
    if s.config.get(*path) is True:
        yield at(s, path, "it permits a weak or unset master key", remove_key(s.config, path))
    name = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
    if s.variable(name).lower() in ("true", "1"):
        yield Hit(s.variables[name].place, f"{name} is on")
