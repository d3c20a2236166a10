"""Rules about how the gateway is installed, started, renewed and reached."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploys.auditing.document import KeyPath
from deploys.auditing.findings import set_value
from deploys.auditing.registry import P0, P1, P2, Hit, at, rule
from deploys.auditing.sources import Place
from deploys.auditing.subject import Subject
from deploys.components.litellm.settings import refusal

# PostgreSQL's own default, and what migrations, a person and monitoring need beside the workers.
DEFAULT_CONNECTIONS, RESERVE = 100, 10
STANDARD_PTH = re.compile(
    r"_virtualenv\.pth|distutils-precedence\.pth|.*-nspkg\.pth|__editable__.*\.pth|a1_coverage\.pth"
)


@rule(
    "L13",
    P0,
    "More database connections than the server has",
    effect="Under load new connections are refused: keys cannot be checked, spend is not written.",
    advice="workers x database_connection_pool_limit + 10 <= max_connections, summed over all gateways.",
    source="litellm/proxy/proxy_cli.py:60, 1286; litellm/proxy/db/db_url_settings.py:257",
)
def pools(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "database_connection_pool_limit")
    database = s.config.has(*path) or s.config.has("general_settings", "database_url") or "DATABASE_URL" in s.variables
    limit = s.config.get(*path, default=10)
    if not database or not isinstance(limit, int):
        return
    stated = next((int(d.value) for d in s.postgres if d.name == "max_connections" and d.value.isdigit()), None)
    known = s.max_connections or (s.live.max_connections if s.live else None) or stated
    allowed = known or DEFAULT_CONNECTIONS
    workers = sum(launch.workers for launch in s.launches) or 1
    needed = workers * limit + RESERVE
    if needed > allowed:
        whose = f"max_connections is {allowed}" if known else f"PostgreSQL's default is {allowed}"
        fitting = max(1, (allowed - RESERVE) // workers)
        yield at(
            s, path, f"{workers} workers x {limit} + {RESERVE} = {needed}, and {whose}",
            set_value(s.config, path, str(fitting)), None if known or s.launches else P1,
        )  # fmt: skip


@rule(
    "L26",
    P2,
    "Port 4000",
    effect="When something else listens there, LiteLLM takes a random port without a word.",
    advice="Another port, such as 4100; with any other one it says that it is taken.",
    source="litellm/proxy/proxy_cli.py:1522",
)
def port_4000(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        if launch.kind != "compose" and launch.words and launch.port == 4000:
            yield Hit(launch.place, "the gateway listens on 4000")


@rule(
    "L27",
    P0,
    "Gunicorn workers that may hang for ever at their start",
    effect="A worker forked while the master imports a codec waits for it for ever; readiness stays 200, and capacity "
    "is lost in silence (about 1 start in 20).",
    advice="TZ=UTC in the environment, and codecs.lookup('ascii') before LiteLLM starts.",
    source="litellm/proxy/proxy_cli.py:653; litellm/proxy/db/query_engine_reaper.py:58",
)
def fork_deadlock(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        cured = "codecs" in " ".join(launch.words) or any("litellm-launch" in word for word in launch.words)
        affected = (1, 94, 0) <= s.number <= (1, 109, 1)
        if launch.flag("--run_gunicorn") and affected and not cured and not s.variable("TZ"):
            yield Hit(launch.place, f"--run_gunicorn with {s.version}, and TZ is not set")


@rule(
    "L28",
    P0,
    "A package that LiteLLM needs is not installed",
    effect="Without prisma a request without a key is 500 instead of 401; without prometheus-client the start fails.",
    advice="Install prisma and prometheus-client beside litellm[proxy].",
    source="METADATA of litellm 1.106.2 (prisma only in extra_proxy, prometheus-client only in proxy-runtime)",
)
def missing_packages(s: Subject) -> Iterator[Hit]:
    metrics = any(name == "prometheus" for _, name in s.callbacks())
    needed = {"prisma": True, "prometheus-client": metrics}
    found: list[tuple[Place, set[str]]] = []
    for source in s.others:
        text = source.text.lower().replace("_", "-")
        extras = re.search(r"litellm\[([\w,\s-]*)\]", text)
        if extras and "extra-proxy" not in extras.group(1) and "proxy-runtime" not in extras.group(1):
            line = text[: extras.start()].count("\n") + 1
            found.append((Place(source.name, line, source.lines[line - 1].strip()), set(re.findall(r"[\w-]+", text))))
    if s.live and s.live.packages:
        found.append((s.live.place, set(s.live.packages)))
    for place, names in found:
        for package, wanted in needed.items():
            if wanted and package not in names:
                yield Hit(place, f"{package} is not among what is installed")


@rule(
    "L30",
    P2,
    "Workers that end after a number of requests",
    effect="Idle connections are reset each time: 87 client errors per 10 renewals; with one worker nobody answers "
    "meanwhile.",
    advice="Reload with a timer instead; or two workers or more, 50000 requests or more, and a jitter of a tenth.",
    source="https://github.com/benoitc/gunicorn/issues/2567; litellm/proxy/proxy_cli.py",
)
def recycling(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        given = launch.setting("--max_requests_before_restart", "MAX_REQUESTS_BEFORE_RESTART")
        given = given or s.variable("MAX_REQUESTS_BEFORE_RESTART")
        if not given or not given.isdigit() or given == "0":
            continue
        jitter = launch.setting("--max_requests_before_restart_jitter", "MAX_REQUESTS_BEFORE_RESTART_JITTER")
        jitter = jitter or s.variable("MAX_REQUESTS_BEFORE_RESTART_JITTER")
        why = [
            *([f"{given} requests are few"] if int(given) < 50_000 else []),
            *(["one worker"] if launch.workers < 2 else []),
            *(["no jitter"] if not jitter or jitter == "0" else []),
        ]
        if why:
            yield Hit(launch.place, f"max_requests_before_restart: {', '.join(why)}", severity=P1)


@rule(
    "L32",
    P1,
    "Requests pass when the database is away",
    effect="Keys are not checked then, and whoever reaches the port uses your models.",
    advice="false, unless nobody but your own programs reaches the port.",
    source="litellm/proxy/db/exception_handler.py:86",
)
def unchecked(s: Subject) -> Iterator[Hit]:
    path: KeyPath = ("general_settings", "allow_requests_on_db_unavailable")
    if s.config.get(*path) is True and (not s.launches or any(launch.public for launch in s.launches)):
        where = (
            "and the gateway listens for others" if s.launches else "and nothing says that only this host reaches it"
        )
        yield at(s, path, f"allow_requests_on_db_unavailable is on, {where}", set_value(s.config, path, "false"))


@rule(
    "L35",
    P1,
    "A reload that ends the gateway",
    effect="uvicorn with one worker dies of SIGHUP.",
    advice="--run_gunicorn or two workers; or no ExecReload.",
    source="uvicorn with one worker installs no handler for SIGHUP; litellm/proxy/proxy_cli.py",
)
def deadly_reload(s: Subject) -> Iterator[Hit]:
    for launch in s.launches:
        single = not launch.flag("--run_gunicorn") and launch.workers == 1
        for reload in launch.directives.get("ExecReload", ()):
            if single and re.search(r"\bHUP\b|-1\b", reload.value):
                yield Hit(reload.place, "ExecReload sends SIGHUP to a single uvicorn")


@rule(
    "L36",
    P0,
    "A version that must not run",
    effect="It is compromised or has a hole that is known and used.",
    advice="1.84.0 or newer; after 1.82.7 or 1.82.8 change every secret the host had.",
    source="https://docs.litellm.ai/blog/security-update-march-2026; OSV MAL-2026-2144; CISA KEV",
)
def bad_version(s: Subject) -> Iterator[Hit]:
    place = s.version_place
    why = refusal(".".join(str(part) for part in s.number))
    if why and place:
        yield Hit(place, why)
    for name in s.live.stray_pth if s.live else ():
        if s.live and not STANDARD_PTH.fullmatch(name):
            stealer = name == "litellm_init.pth"
            what = "is the credential stealer of 1.82.8" if stealer else "runs code in every Python of the installation"
            yield Hit(s.live.place, f"{name} in site-packages {what}", severity=None if stealer else P1)
    for source in s.others:
        for number, line in enumerate(source.lines, 1):
            if "litellm_init.pth" in line and not re.search(r"!|\brm\b|test|if |grep", line):
                yield Hit(Place(source.name, number, line.strip()), "litellm_init.pth is the stealer of 1.82.8")
