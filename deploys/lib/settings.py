"""Host data to typed settings: one class per component, and errors that name the key the user wrote."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from deploys.lib.secrets import SecretError

S = TypeVar("S", bound="Settings")
Resolve = Callable[[str], SecretStr]

# Old key -> what to use now. A renamed key stays here so that using it stops the run and names the new one.
RENAMED: dict[str, str] = {}


class SettingsError(Exception):
    """One or more settings are wrong; ``problems`` has a line for each, under the key the user wrote."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


class Settings(BaseModel):
    """Base of every component's settings: unknown keys refused, nothing coerced, values never in tracebacks."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _resolve(value: object, info: ValidationInfo) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be a reference in quotes, such as env:NAME; this one is of type {type(value).__name__}")
    resolve: Resolve | None = (info.context or {}).get("resolve")
    if resolve is None:
        raise ValueError("no way to read secrets was given")
    try:
        return resolve(value)
    except SecretError as error:
        raise ValueError(str(error)) from None


Secret = Annotated[
    SecretStr,
    BeforeValidator(_resolve),
    WithJsonSchema({"type": "string", "format": "secret reference"}),
]


# An address of the web, with no character that a shell or a unit file reads as anything but itself, whoever forgets
# to quote it. `&` is allowed, for addresses with a signature: every command quotes them.
URL = r"^https?://[^\s'\"\\`$;|<>()*]+$"
URL_OR_FILE = r"^(https?://|file:///)[^\s'\"\\`$;|<>()*]+$"


def secret(reference: str, description: str) -> Any:
    """A settings field for a secret, read from ``reference`` unless the data has another one."""
    return Field(reference, description=description, validate_default=True)


Port = Annotated[int, Field(ge=1, le=65535)]


class HostSettings(Settings):
    """Keys of the run itself, not of one component."""

    components: str | list[str] = Field(
        "all",
        validate_default=True,
        description="Work on these components only: a list, or names with commas between them. `all` for all.",
    )
    preset: Literal["auto", "small", "large"] = Field(
        "auto",
        description="Size to plan for: `small` is 4 vCPU and 8 GB, `large` is 8 vCPU and 16 GB, `auto` asks the host.",
    )
    vcpus: int | None = Field(None, ge=1, le=256, description="Virtual CPUs to plan for, instead of the preset's.")
    memory_mb: int | None = Field(
        None, ge=512, le=4_194_304, description="Memory to plan for in MiB, instead of the preset's."
    )
    private_address: str | None = Field(
        None,
        pattern=r"^[0-9a-fA-F.:]+$",
        description="IP address under which the other hosts reach this one. Default: `ssh_hostname`, when that is "
        "an IP address. Needed when the gateway is spread over several hosts.",
    )
    backup_root: str = Field(
        "/var/backups/portcullis",
        pattern=r"^/[A-Za-z0-9_./-]+$",
        description="Folder on the host for copies of what a run changes.",
    )
    extra_ca_certificates: list[str] = Field(
        default_factory=list,
        description="PEM files on the controlling machine with certificate authorities the host must trust as well, "
        "such as a company proxy's.",
    )

    @field_validator("components")
    @classmethod
    def _split(cls, value: str | list[str]) -> list[str]:
        names = value.split(",") if isinstance(value, str) else value
        return [name.strip() for name in names if name.strip()]

    def wants(self, component: str) -> bool:
        """Whether this run works on ``component``."""
        return "all" in self.components or component in self.components


def nearest(word: str, known: Iterable[str]) -> str:
    """A ``did you mean`` clause for a misspelt ``word``, or an empty string."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(key: str, error: Mapping[str, Any], known: Iterable[str], secret: bool) -> str:
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown setting{nearest(key, known)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if secret or error["type"] == "missing":
        return f"{key}: {message}"
    return f"{key}: {message} (given: {error['input']!r})"


def settings_from(data: Mapping[str, Any], prefix: str, cls: type[S], resolve: Resolve) -> S:
    """Validate the keys of ``data`` that start with ``prefix`` as ``cls``.

    Raises SettingsError with one line per problem, each under the flat key the user wrote.
    """
    known = [prefix + name for name in cls.model_fields]
    own = {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}
    if not prefix:
        own = {key: value for key, value in data.items() if key in cls.model_fields}
    try:
        return cls.model_validate(own, context={"resolve": resolve})
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            field = str(item["loc"][0]) if item["loc"] else ""
            info = cls.model_fields.get(field)
            secret = info is not None and (not info.repr or "SecretStr" in str(info.annotation))
            inner = "".join(f"[{part}]" for part in item["loc"][1:] if isinstance(part, int))
            key = f"{prefix}{field}{inner}" if field else prefix.rstrip("_") or "settings"
            problems.append(_sentence(key, item, known, secret or not field))
        raise SettingsError(dict.fromkeys(problems)) from None


def refuse_unclaimed(data: Iterable[str], classes: Mapping[str, type[Settings]], connector_keys: Iterable[str]) -> None:
    """Stop when a key is claimed by nothing: not by a component, the run, the connector or a leading underscore.

    ``classes`` maps key prefixes (``redis_``; empty for keys of the run) to settings classes.
    """
    ours = {prefix + name for prefix, cls in classes.items() for name in cls.model_fields}
    connector = set(connector_keys) | {"chroot_directory"}
    problems = []
    for key in data:
        if key.startswith("_") or key in connector or key in ours:
            continue
        if key in RENAMED:
            problems.append(f"{key}: was renamed; use {RENAMED[key]}")
        else:
            problems.append(f"{key}: unknown setting{nearest(key, ours | connector)}")
    if problems:
        raise SettingsError(problems)
