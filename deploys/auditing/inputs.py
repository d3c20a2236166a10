"""What stands around a configuration: environment files, units, compose files, Redis' settings, command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploys.auditing.document import Document
from deploys.auditing.masking import mask_value
from deploys.auditing.sources import Place, Source, place_in

# A program that runs the gateway: LiteLLM's own, or Portcullis' start of it.
PROGRAM = re.compile(r"(?:^|[/\s'\"])(?:litellm(?:-launch\.py)?|run_server)\b|litellm\.proxy|gunicorn|uvicorn")


@dataclass(frozen=True)
class Variable:
    """An environment variable, its value masked when it is a secret, and where it is set."""

    value: str
    place: Place


@dataclass(frozen=True)
class Launch:
    """One way the gateway is started: a unit, a compose service or a running process."""

    kind: str
    source: Source
    words: tuple[str, ...]
    place: Place
    variables: Mapping[str, Variable] = field(default_factory=dict)
    directives: Mapping[str, tuple[Variable, ...]] = field(default_factory=dict)
    image: Variable | None = None
    probes: tuple[Variable, ...] = ()
    published: tuple[str, ...] = ()
    env_files: bool = False

    def option(self, *names: str) -> str | None:
        """The value of a command-line option, given as `--name value` or `--name=value`."""
        for position, word in enumerate(self.words):
            name, sign, value = word.partition("=")
            if name in names:
                return value if sign else next(iter(self.words[position + 1 : position + 2]), "")
        return None

    def flag(self, name: str) -> bool:
        return name in self.words

    def setting(self, option: str, *variables: str) -> str | None:
        """An option, or else the environment variable that stands for it."""
        given = self.option(option)
        if given is None:
            given = next((self.variables[name].value for name in variables if name in self.variables), None)
        return given

    @property
    def workers(self) -> int:
        given = self.setting("--num_workers", "NUM_WORKERS", "DEFAULT_NUM_WORKERS_LITELLM_PROXY") or "1"
        return int(given) if given.isdigit() else 1

    @property
    def host(self) -> str:
        return self.setting("--host", "HOST") or "0.0.0.0"

    @property
    def port(self) -> int:
        given = self.setting("--port", "PORT") or "4000"
        return int(given) if given.isdigit() else 4000

    @property
    def public(self) -> bool:
        """Whether others than this host's own programs can reach it."""
        if self.kind == "compose":
            return any(not port.startswith(("127.", "localhost")) for port in self.published)
        return not self.host.startswith(("127.", "localhost", "::1"))


@dataclass(frozen=True)
class Directive:
    """One setting of a server's configuration file."""

    name: str
    value: str
    place: Place


def unquote(value: str) -> str:
    """A value of an environment file without its quotes."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        inner = value[1:-1]
        return re.sub(r"\\(.)", r"\1", inner) if value[0] == '"' else inner
    return re.split(r"\s#", value)[0].rstrip()


def read_env(source: Source) -> dict[str, Variable]:
    """Variables of an environment file."""
    found = {}
    for number, line in enumerate(source.lines, 1):
        matched = re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)$", line)
        if matched:
            found[matched.group(1)] = Variable(unquote(matched.group(2)), place_in(source, number))
    return found


def split_words(text: str) -> list[str]:
    """A command line as words; as well as it goes when its quotes do not close."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _unit_lines(source: Source) -> Iterator[tuple[int, str]]:
    number, whole = 0, ""
    for position, line in enumerate(source.lines, 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        number = number or position
        whole += line.removesuffix("\\").strip() + " "
        if not line.endswith("\\"):
            yield number, whole.strip()
            number, whole = 0, ""


def read_unit(source: Source) -> Launch:
    """A systemd unit as a way to start the gateway."""
    directives: dict[str, list[Variable]] = {}
    variables: dict[str, Variable] = {}
    for number, line in _unit_lines(source):
        name, sign, value = line.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z]\w*", name.strip()):
            continue
        place = place_in(source, number)
        directives.setdefault(name.strip(), []).append(Variable(value.strip(), place))
        if name.strip() == "Environment":
            for word in split_words(value):
                key, _, content = word.partition("=")
                variables[key] = Variable(content, place)
    start = directives.get("ExecStart", [Variable("", Place(source.name))])[-1]
    return Launch(
        "unit",
        source,
        tuple(split_words(start.value)),
        start.place,
        variables,
        {name: tuple(values) for name, values in directives.items()},
        env_files="EnvironmentFile" in directives,
    )


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [word for item in value for word in (split_words(str(item)) if " " in str(item) else [str(item)])]
    return split_words(str(value)) if value else []


def _environment(document: Document, name: str) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    given = document.get("services", name, "environment")
    pairs: list[tuple[str, Any, str | int]] = []
    if isinstance(given, dict):
        pairs = [(key, value, key) for key, value in given.items()]
    elif isinstance(given, list):
        pairs = [(*str(item).partition("=")[::2], index) for index, item in enumerate(given) if "=" in str(item)]
    for key, value, part in pairs:
        text = "" if value is None else str(value)
        found[key] = Variable(mask_value(key, text), document.place("services", name, "environment", part))
    return found


def read_compose(document: Document) -> tuple[list[Launch], list[Directive], list[Directive]]:
    """A compose file: how it starts the gateway, and the settings of its Redis and PostgreSQL."""
    launches, redis, postgres = [], [], []
    for name, service in document.section("services").items():
        if not isinstance(service, dict):
            continue
        words = [*_words(service.get("entrypoint")), *_words(service.get("command"))]
        part = next((part for part in ("command", "entrypoint", "image") if part in service), "")
        place = document.place("services", name, *([part] if part else []))
        image = str(service.get("image", ""))
        if "redis" in image or "valkey" in image:
            redis += [Directive(option, value, place) for option, value in _pairs(words, "--")]
        elif "postgres" in image:
            settings = [word.removeprefix("-c") for word in words if "=" in word]
            postgres += [Directive(*word.partition("=")[::2], place) for word in settings]
        elif "litellm" in image.lower() or any("litellm" in word for word in words) or name == "litellm":
            check = service.get("healthcheck")
            test = _words(check.get("test")) if isinstance(check, dict) else []
            probe = Variable(" ".join(test), document.place("services", name, "healthcheck", "test"))
            launches.append(
                Launch(
                    "compose",
                    document.source,
                    tuple(words),
                    place,
                    _environment(document, name),
                    image=Variable(image, document.place("services", name, "image")) if image else None,
                    probes=(probe,) if test else (),
                    published=tuple(_words(service.get("ports"))),
                    env_files="env_file" in service,
                )
            )
    return launches, redis, postgres


def _pairs(words: list[str], prefix: str) -> Iterator[tuple[str, str]]:
    for position, word in enumerate(words):
        if word.startswith(prefix):
            name, sign, value = word.removeprefix(prefix).partition("=")
            yield name, value if sign else " ".join(words[position + 1 : position + 2])


def read_conf(source: Source) -> list[Directive]:
    """Settings of a redis.conf: a name, blanks, a value."""
    found = []
    for number, line in enumerate(source.lines, 1):
        matched = re.match(r"\s*([A-Za-z][\w-]*)\s+(.*?)\s*$", line)
        if matched:
            found.append(Directive(matched.group(1).lower(), unquote(matched.group(2)), place_in(source, number)))
    return found
