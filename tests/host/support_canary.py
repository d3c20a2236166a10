"""A value of its own for every secret a gateway can have, and what looks for them all over a host."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from deploys.components import COMPONENTS
from deploys.lib.settings import Settings, entry_class
from tests.host.support import Server
from tests.host.support_double import BASE

MARK = "canary-" + secrets.token_hex(4)
SECRET_FORMAT = "secret reference"
# Whoever runs a service, and somebody who has nothing to do with any.
USERS = ("nobody", "litellm", "redis", "ollama", "postgres", "haproxy")
# Their certificates are made from a secret, and from the one before it for those who have not come to this one.
TLS_OF_THE_SITE = ("postgres", "redis", "edge")
OF_THE_SITE = tuple(f"{name}_tls_secret" for name in TLS_OF_THE_SITE)


def _value(name: str, start: str = "") -> str:
    return f"{start}{MARK}-{name}-{secrets.token_hex(16)}"


# By the setting's name: the variable that it is read from, and its value; the part of it that is looked for is the mark
# and what follows, as whoever has that has the secret.
VALUES: dict[str, tuple[str, str]] = {
    "litellm_master_key": ("LITELLM_MASTER_KEY", _value("master", "sk-")),
    "litellm_salt_key": ("LITELLM_SALT_KEY", _value("salt")),
    "litellm_otel_headers": ("CANARY_OTEL", _value("otel", "authorization=")),
    "litellm_slack_webhook": ("CANARY_SLACK", _value("slack", f"{BASE}/slack/")),
    "litellm_alert_webhook": ("CANARY_HOOK", _value("hook", f"{BASE}/hook/")),
    "litellm_log_sink_headers": ("CANARY_SINK", _value("sink", "x-sink=")),
    "litellm_models.api_key": ("CANARY_MODEL", _value("model", "sk-")),
    "litellm_keys.value": ("CANARY_KEY", _value("key", "sk-")),
    "postgres_password": ("POSTGRES_PASSWORD", _value("postgres")),
    "postgres_health_password": ("POSTGRES_HEALTH_PASSWORD", _value("postgres-health")),
    "redis_password": ("REDIS_PASSWORD", _value("redis")),
    "redis_health_password": ("REDIS_HEALTH_PASSWORD", _value("redis-health")),
    "backups_passphrase": ("BACKUPS_PASSPHRASE", _value("backups")),
    "backups_configuration_passphrase": ("BACKUPS_CONFIGURATION_PASSPHRASE", _value("backups-configuration")),
    "backups_tls_secret": ("BACKUPS_TLS_SECRET", _value("backups-tls")),
    **{
        f"{name}_tls_{which}": (f"CANARY_{name}_{which}".upper(), _value(f"{name}-tls-{which}"))
        for name in TLS_OF_THE_SITE
        for which in ("secret", "secret_before")
    },
}
# Of what this host is not set up with, other tests look for the values.
ELSEWHERE = {
    "redis_tls_key": "test_tls.py",
    "postgres_tls_key": "test_inside.py",
    "edge_tls_key": "test_edge.py",
    "backups_s3_key": "test_store.py",
    "backups_s3_key_secret": "test_store.py",
    "engine_registry_password": "unit tests of the shipping settings; no registry of the lab wants one",
}


def _secret_fields(cls: type[Settings], prefix: str) -> Iterator[str]:
    schema = cls.model_json_schema()["properties"]
    for name, field in cls.model_fields.items():
        if SECRET_FORMAT in json.dumps(schema[name]):
            yield f"{prefix}{name}"
        elif inner := entry_class(field.annotation):
            yield from (f"{prefix}{name}.{one.rpartition('.')[2]}" for one in _secret_fields(inner, "."))


def secret_settings() -> set[str]:
    """Every setting of every component that is a secret, those of entries as ``litellm_models.api_key``."""
    return {name for one in COMPONENTS for name in _secret_fields(one.settings, f"{one.name}_")}


def environment() -> dict[str, str]:
    return dict(VALUES.values())


def looked_for() -> dict[str, str]:
    """By setting, the part of its value that must not be found."""
    return {name: value[value.index(MARK) :] for name, (_, value) in VALUES.items()}


def found_in(text: str) -> list[str]:
    """Settings whose values are in ``text``."""
    return [name for name, value in looked_for().items() if value in text]


def settings() -> dict[str, Any]:
    """A gateway with all of them in use; its provider and its collectors do not answer, which is written about most."""
    own = {"provider": "openai", "model": "gone", "api_base": f"{BASE}/v1", "api_key": "env:CANARY_MODEL"}
    return {
        "litellm_models": [{"name": "gone", **own}],
        "litellm_keys": {"canary": {"value": "env:CANARY_KEY"}},
        "litellm_slack_webhook": "env:CANARY_SLACK",
        "litellm_alert_webhook": "env:CANARY_HOOK",
        "litellm_alerting_threshold": 2,
        "litellm_alert_types": ["llm_exceptions", "llm_requests_hanging", "outage_alerts", "db_exceptions"],
        "litellm_probe_models": ["gone"],
        "litellm_probe_interval_seconds": 10,
        "litellm_probe_failures": 2,
        "litellm_otel_endpoint": BASE,
        "litellm_otel_headers": "env:CANARY_OTEL",
        "litellm_log_sink": f"{BASE}/sink",
        "litellm_log_sink_headers": "env:CANARY_SINK",
        **{f"{name}_tls": "site" for name in TLS_OF_THE_SITE},
        **{name: f"env:{variable}" for name, (variable, _) in VALUES.items() if name.startswith(OF_THE_SITE)},
    }


# What follows runs on the host as root with the values on standard input, and prints where it found one: by name,
# never itself.
PROCESSES = """
import glob, json, os, subprocess
secrets = {name: value.encode() for name, value in json.loads(SECRETS).items()}
found = []
for path in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        text = open(path, "rb").read()
    except OSError:
        continue
    found += [f"{name} in {path} ({text[:40]!r})" for name, value in secrets.items() if value in text]
reader, writer = os.pipe()
if os.fork() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            text = open(path, "rb").read()
        except OSError:
            continue
        for name, value in secrets.items():
            if value in text:
                os.write(writer, f"{name} in {path}\\n".encode())
    os._exit(0)
os.close(writer)
os.wait()
found += open(reader).read().splitlines()
print("\\n".join(found))
"""
JOURNAL = """
import json, subprocess
secrets = {name: value.encode() for name, value in json.loads(SECRETS).items()}
journal = subprocess.Popen(["journalctl", "-q", "--no-pager", "-a", "-o", "cat"], stdout=subprocess.PIPE)
lines, found = 0, set()
for line in journal.stdout:
    lines += 1
    found |= {name for name, value in secrets.items() if value in line}
print("\\n".join(f"{name} in the journal" for name in sorted(found)) if lines else "the journal is empty")
"""
FILES = """
import json, os, subprocess
values = "\\n".join(json.loads(SECRETS).values())
def nobody():
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
folders = [f for f in ("/etc", "/opt", "/var/lib", "/var/log", "/var/backups", "/usr/local", "/tmp", "/home", "/run")
           if os.path.isdir(f)]
done = subprocess.run(["grep", "-r", "-a", "-l", "-s", "-F", "-D", "skip", "-f", "-", *folders], input=values,
                      capture_output=True, text=True, preexec_fn=nobody, cwd="/")
print(done.stdout)
"""
# Until /run/canary-stop is there; prints every process that has a secret in its command line, or in an environment that
# another user can read; and how many processes it has seen.
SAMPLER = """
import json, os, sys, time
secrets = {name: value.encode() for name, value in json.loads(SECRETS).items()}
def sample(what, drop, out):
    if drop:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    seen, found = set(), set()
    while not os.path.exists("/run/canary-stop"):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                text = open(f"/proc/{pid}/{what}", "rb").read()
            except OSError:
                continue
            seen.add((pid, text[:200]))
            for name, value in secrets.items():
                if value in text:
                    found.add(f"{name} in the {what} of {text[:200]!r}")
        time.sleep(0.02)
    os.write(out, (json.dumps([len(seen), sorted(found)]) + "\\n").encode())
    os._exit(0)
reader, writer = os.pipe()
for what, drop in (("cmdline", False), ("environ", True)):
    if os.fork() == 0:
        sample(what, drop, writer)
os.close(writer)
os.wait(); os.wait()
print(open(reader).read())
"""
# Files that a user can read anywhere on the host, and that have a secret in them.
READABLE = """
import json, os, pwd, subprocess
named = json.loads(SECRETS)
for user in json.loads(USERS):
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        continue
    def become():
        os.initgroups(user, entry.pw_gid); os.setgid(entry.pw_gid); os.setuid(entry.pw_uid)
    tops = [f"/{name}" for name in os.listdir("/") if name not in ("proc", "sys")]
    done = subprocess.run(["grep", "-r", "-a", "-o", "-s", "-F", "-D", "skip", "-f", "-", *tops],
                          input="\\n".join(named.values()), capture_output=True, text=True, errors="replace",
                          preexec_fn=become, cwd="/")
    for line in sorted(set(done.stdout.splitlines())):
        path, _, value = line.rpartition(":")
        print(f"{user}: {[name for name, one in named.items() if one == value]} in {path}")
"""
# Files of the ledger, of steps and of backups that have a secret in them, and are not where secrets are kept for going
# back: copies of secret files, and what a service is told. The last line is how many are there.
KEPT = """
import glob, json, os, subprocess
named, (root, *folders) = json.loads(SECRETS), json.loads(FOLDERS)
known = set()
for bundle in glob.glob(f"{root}/*/components/*"):
    known.add(f"{bundle}/provisions.json")
    secret = set(open(f"{bundle}/secret").read().splitlines())
    for number, line in enumerate(open(f"{bundle}/files.tsv"), 1):
        path = line.rstrip("\\n").split("\\t")[5]
        if path in secret:
            known |= {f"{bundle}/f/{number}", *glob.glob(f"{root}/*/files{path}")}
done = subprocess.run(["grep", "-r", "-a", "-l", "-s", "-F", "-D", "skip", "-f", "-", root, *folders],
                      input="\\n".join(named.values()), capture_output=True, text=True, errors="replace")
found = set(done.stdout.splitlines())
print("\\n".join([*sorted(found - known), str(len(found & known))]))
"""


def look(server: Server, script: str, values: Mapping[str, str] | None = None, **words: object) -> list[str]:
    """What a script prints on the host; the values travel over standard input, like the script itself."""
    named = {"SECRETS": dict(values or looked_for()), **words}
    head = "".join(f"{name} = {json.dumps(json.dumps(value))}\n" for name, value in named.items())
    done = server.python(head + script, seconds=1800)
    assert done.status == 0, done.err
    return done.out.strip().splitlines()


def shown(server: Server, values: Mapping[str, str]) -> list[str]:
    """Where others than root find one of ``values`` on the host at this moment."""
    return [line for script in (PROCESSES, JOURNAL, FILES) for line in look(server, script, values)]
