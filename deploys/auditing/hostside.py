"""What is true on a host with LiteLLM, as one line of JSON: this file runs there, after those it imports from.

Values of secrets stay: everything is masked here, on the host, before it is printed. Nothing is changed. Only the
standard library, and nothing newer than Python 3.9, because the host may be anyone's.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from deploys.auditing.hostside_files import installation, known_models, read
from deploys.auditing.masking import is_secret, mask_tokens, mask_value
from deploys.auditing.masking_text import mask_text

# Variables whose values rules need and that are no secrets; of all others only that they are set is told.
TOLD = re.compile(
    r"LITELLM_(LOG|MODE|LOCAL_MODEL_COST_MAP|DANGEROUSLY\w+|DONT\w+)|NO_(DOCS|REDOC|OPENAPI)|TZ|DEBUG|DETAILED_DEBUG|"
    r"(REDIS|OLLAMA)_(HOST|PORT|SSL|API_BASE)|DATABASE_URL|REDIS_URL|HOST|PORT|\w*NUM_WORKERS\w*|SEPARATE_\w+|"
    r"SUPERVISORD_\w+|PROMETHEUS_\w+|MAX_REQUESTS\w*|REQUEST_TIMEOUT|GRACEFUL\w*|STORE_MODEL_IN_DB|JSON_LOGS|\w+_API_BASE"
)


def run(*words: str, env: dict[str, str] | None = None) -> str:
    """Standard output of a command; empty when it fails or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, env=env)
        return done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.SubprocessError):
        return ""


# What stands before the program of a container, to reap its orphans.
INITS = ("docker-init", "tini", "dumb-init", "catatonit")


def processes(proc: str = "/proc") -> list[tuple[int, list[str]]]:
    """Processes that serve LiteLLM's gateway, as (pid, words), the oldest first."""
    found = []
    for folder in glob.glob(f"{proc}/[0-9]*"):
        words = read(f"{folder}/cmdline").split("\0")[:-1]
        text = " ".join(words)
        named = any(os.path.basename(word) in ("litellm", "litellm-launch.py") for word in words[:3])
        serves = named or (
            "litellm" in text and ("--config" in words or "run_server" in text or "proxy_server" in text)
        )
        if words and os.path.basename(words[0]) in INITS:
            continue  # its child has the same words
        if serves and not {"--validate_config", "--skip_server_startup", "validate", "migrate"} & set(words):
            found.append((int(os.path.basename(folder)), words))
    return sorted(found)


def option(words: list[str], name: str) -> str:
    for position, word in enumerate(words):
        if word == name and position + 1 < len(words):
            return words[position + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def environment(pid: int, proc: str = "/proc") -> dict[str, str]:
    pairs = read(f"{proc}/{pid}/environ").split("\0")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name}


def told(name: str, value: str) -> str:
    """A variable as it leaves the host."""
    if is_secret(name) or value.startswith("os.environ/"):
        return mask_value(name, value)
    return mask_tokens(value) if TOLD.fullmatch(name) else "(set)" if value else ""


def unit_of(pid: int, proc: str = "/proc") -> str:
    """The unit that a process is of; for one in a container, the unit that the container's label names."""
    groups = read(f"{proc}/{pid}/cgroup")
    for container in re.findall(r"docker[-/]([0-9a-f]{64})", groups)[-1:]:
        form = '{{index .Config.Labels "portcullis.unit"}}'
        if said := run("docker", "inspect", "--format", form, container).strip():
            return said
    found = re.findall(r"([\w@.:\\-]+\.service)", groups)
    return found[-1] if found else ""


def postgres(url: str) -> list[int | None]:
    """(max_connections, connections in use), asked as postgres on its own host or with the gateway's URL."""
    query = (
        "SELECT current_setting('max_connections'), count(*) FROM pg_stat_activity WHERE backend_type='client backend'"
    )
    answer = run("runuser", "-u", "postgres", "--", "psql", "-XAtc", query)
    if not answer and url:
        parts = urllib.parse.urlsplit(url)
        secret = {"PGPASSWORD": urllib.parse.unquote(parts.password or ""), "PGCONNECT_TIMEOUT": "5"}
        told = {name: text for name, text in urllib.parse.parse_qsl(parts.query) if name in ("sslmode", "sslrootcert")}
        secret.update({f"PG{name.upper()}": text for name, text in told.items()})
        where = ["-h", parts.hostname or "", "-p", str(parts.port or 5432), "-U", parts.username or ""]
        name = parts.path.lstrip("/") or "postgres"
        answer = run("psql", "-XAtc", query, *where, "-d", name, env={**os.environ, **secret})
    found = re.match(r"(\d+)\|(\d+)", answer)
    return [int(found.group(1)), int(found.group(2))] if found else [None, None]


def redis_policy(variables: dict[str, str]) -> str:
    """Redis' maxmemory-policy, from INFO, which every user of an ACL may be allowed."""
    if not (host := variables.get("REDIS_HOST")):
        return ""
    try:
        wanted = variables.get("REDIS_SSL", "").lower() == "true"
        tls = ssl.create_default_context(cafile=variables.get("REDIS_SSL_CA_CERTS")) if wanted else None
        plain = socket.create_connection((host, int(variables.get("REDIS_PORT") or 6379)), timeout=5)
        with tls.wrap_socket(plain, server_hostname=host) if tls else plain as link:
            words = [word for word in (variables.get("REDIS_USERNAME"), variables.get("REDIS_PASSWORD")) if word]
            for command in ([["AUTH", *words]] if words else []) + [["INFO", "memory"]]:
                parts = [f"*{len(command)}\r\n", *(f"${len(w.encode())}\r\n{w}\r\n" for w in command)]
                link.sendall("".join(parts).encode())
                time.sleep(0.2)
                answer = link.recv(65536).decode("utf-8", "replace")
            found = re.search(r"maxmemory_policy:([\w-]+)", answer)
            return found.group(1) if found else ""
    except (OSError, ValueError):
        return ""


def http(url: str, key: str = "") -> tuple[int, str]:
    """(status, body) of a GET; status 0 when nobody answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        # A proxy from the environment must not see the key.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=15) as answer:
            return answer.status, answer.read(20_000_000).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError):
        return 0, ""


def sums(text: str) -> dict[str, float]:
    """Counters that tell how the gateway does, from its metrics."""
    names = {
        "requests": "litellm_proxy_total_requests_metric_total",
        "failed": "litellm_proxy_failed_requests_metric_total",
        "cache_hits": "litellm_cache_hits_metric_total",
        "cache_misses": "litellm_cache_misses_metric_total",
    }
    found = {}
    for short, name in names.items():
        values = re.findall(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)", text, re.M)
        if values:
            found[short] = sum(float(value) for value in values)
    return found


def proportional(pids: list[int], proc: str = "/proc") -> list[int]:
    sizes = [re.search(r"^Pss:\s+(\d+)", read(f"{proc}/{pid}/smaps_rollup"), re.M) for pid in pids]
    return [int(size.group(1)) // 1024 for size in sizes if size]


def began(pid: int, proc: str = "/proc") -> float:
    """When a process started, in seconds since 1970; 0 when that cannot be told."""
    fields = read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
    boot = re.search(r"^btime (\d+)", read(f"{proc}/stat"), re.M)
    return int(boot.group(1)) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if boot and len(fields) > 19 else 0.0


def asked(host: str, port: str, metrics_port: str, key: str) -> dict[str, object]:
    """What the gateway itself says: models it serves, its counters, and whether /metrics is open."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    base = f"http://{local}:{port}"
    models, metrics = http(f"{base}/v1/models", key)[1], http(f"http://{local}:{metrics_port}/metrics/")[1]
    try:
        served = [str(entry["id"]) for entry in json.loads(models)["data"]]
    except (ValueError, KeyError, TypeError):
        served = None
    counters = sums(metrics if metrics_port and metrics else http(f"{base}/metrics/", key)[1])
    return {"served": served, "metrics": counters, "statuses": {"metrics": http(f"{base}/metrics/")[0]}}


def collect(proc: str = "/proc", fallback: str = "/etc/litellm/config.yaml", backups: str = "/var/backups/portcullis"):  # type: ignore[no-untyped-def]
    """Everything, masked. Without a process that serves, what the files say."""
    running = processes(proc)
    pid, words = running[0] if running else (0, [])
    variables = environment(pid, proc) if pid else {}
    config = option(words, "--config") or option(words, "-c") or variables.get("CONFIG_FILE_PATH", "") or fallback
    root = f"{proc}/{pid}/root" if pid else ""
    if pid and not config.startswith("/"):
        config = os.path.join(os.path.realpath(f"{proc}/{pid}/cwd"), config)
    text = read(root + config) or read(config)
    if not pid and not text:
        return {"found": False}
    unit = unit_of(pid, proc) if pid else "litellm.service"
    unit_text = run("systemctl", "cat", unit) if unit else ""
    files = re.findall(r"^EnvironmentFile=-?(\S+)", unit_text, re.M)
    packages, pth = installation(pid, proc) if pid else ({}, [])
    restarts = run("systemctl", "show", "-p", "NRestarts", "--value", unit).strip() if unit else ""
    folders = [os.path.getmtime(path) for path in glob.glob(f"{backups}/*/")]
    times = [os.path.getmtime(path) for path in [root + config, *files] if os.path.exists(path)]
    host = option(words, "--host") or variables.get("HOST", "")
    port = option(words, "--port") or variables.get("PORT", "")
    metrics_port = option(words, "--prometheus_metrics_port") or variables.get("PROMETHEUS_METRICS_PORT", "")
    said = asked(host, port or "4000", metrics_port, variables.get("LITELLM_MASTER_KEY", "")) if pid else {}
    return {
        "found": True,
        "running": bool(pid),
        "path": config,
        "config": mask_text(text, yaml=True),
        "environment": {name: told(name, value) for name, value in variables.items()},
        "words": mask_text(shlex.join(words), yaml=False),
        "unit": mask_text(unit_text, yaml=False),
        "packages": {name: packages[name] for name in packages if name in NAMED},
        "pth": pth,
        "models": known_models(mask_text(text, yaml=True), pid, proc) if pid else None,
        "modes": {p: oct(os.stat(p).st_mode & 0o777)[2:] for p in [*files, config] if os.path.exists(p)},
        "postgres": postgres(variables.get("DATABASE_URL", "")),
        "redis": redis_policy(variables),
        "workers_mb": proportional([other for other, _ in running], proc),
        "restarts": int(restarts) if restarts.isdigit() else None,
        "older": bool(pid and times and max(times) > began(pid, proc) > 0),
        "listening": [line.split()[3] for line in run("ss", "-Hltn").splitlines() if len(line.split()) > 3],
        "backups": os.path.isdir(backups),
        "backup_hours": (time.time() - max(folders)) / 3600 if folders else None,
        **said,
    }


NAMED = ("litellm", "prisma", "prometheus-client", "gunicorn", "uvicorn", "litellm-enterprise", "litellm-proxy-extras")

if __name__ == "__main__":
    sys.stdout.write(json.dumps(collect()) + "\n")
