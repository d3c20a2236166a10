"""Host data to typed settings: one class per component, and errors that name the key the user wrote."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from deploys.lib.patterns import ADDRESSES, words_of
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


def _one_line(value: SecretStr) -> SecretStr:
    # In a file of NAME=value lines, which is where most go, the rest would be lines of their own.
    if "\n" in value.get_secret_value():
        raise ValueError("has more than one line; a secret is one line of text")
    return value


# A secret that may have several lines, as a private key has.
SecretText = Annotated[
    SecretStr,
    BeforeValidator(_resolve),
    WithJsonSchema({"type": "string", "format": "secret reference"}),
]
Secret = Annotated[SecretText, AfterValidator(_one_line)]


def secret(reference: str, description: str) -> Any:
    """A settings field for a secret, read from ``reference`` unless the data has another one."""
    return Field(reference, description=description, validate_default=True)


Port = Annotated[int, Field(ge=1, le=65535)]


def nearest(word: str, known: Iterable[str]) -> str:
    """A ``did you mean`` clause for a misspelt ``word``, or an empty string."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(key: str, error: Mapping[str, Any], known: Iterable[str], secret: bool) -> str:
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown setting{nearest(key.rpartition('.')[2], known)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch" and (words := words_of(error["ctx"]["pattern"])):
        message = f"must be {words}"
    if secret or error["type"] == "missing":
        return f"{key}: {message}"
    shown = repr(error["input"])
    # What stands before an @ in an address is most often a password, and may have any sign in it.
    if "@" in shown and error.get("ctx", {}).get("pattern") in ADDRESSES:
        return f"{key}: {message}"
    return f"{key}: {message} (given: {shown})"


def entry_class(annotation: Any) -> type[Settings] | None:
    """The settings class in an annotation such as ``list[Entry] | None``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next((found for part in get_args(annotation) if (found := entry_class(part))), None)


def _place(cls: type[Settings], prefix: str, loc: tuple[int | str, ...]) -> tuple[str, list[str], bool]:
    """Where an error is: the key as a person would write it, the keys that may stand there, and whether it is shown.

    ``litellm_models[1].api_key``: an entry of a list has fields of its own. What is given is shown for a field only:
    a whole entry may have anything in it.
    """
    if not loc:
        return prefix.rstrip("_") or "settings", [], False
    key, known, shown = prefix, [], False
    inside: type[Settings] | None = cls
    named = False  # whether the next part is the name of an entry in a map
    for number, part in enumerate(loc):
        if isinstance(part, int):
            key += f"[{part}]"
        elif named:
            key, named = f"{key}.{part}", False
        elif inside is not None:
            key += f".{part}" if number else part
            known = list(inside.model_fields) if number else []
            info = inside.model_fields.get(part)
            inside = entry_class(info.annotation) if info else None
            named = info is not None and get_origin(info.annotation) is dict
            shown = info is not None and info.repr and inside is None and "SecretStr" not in str(info.annotation)
    return key, known, shown


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
            key, siblings, shown = _place(cls, prefix, item["loc"])
            problems.append(_sentence(key, item, siblings or known, not shown))
        raise SettingsError(dict.fromkeys(problems)) from None


def refuse_unclaimed(
    data: Iterable[str],
    classes: Mapping[str, type[Settings]],
    connector_keys: Iterable[str],
    arguments: frozenset[str] | None = None,
) -> None:
    """Stop when a key is claimed by nothing: not by a component, the run, the connector or pyinfra itself.

    ``classes`` maps key prefixes (``redis_``; empty for keys of the run) to settings classes. ``arguments`` are
    pyinfra's own, which begin with an underscore: what is nearly one of them is a mistake.
    """
    ours = {prefix + name for prefix, cls in classes.items() for name in cls.model_fields}
    connector = set(connector_keys) | {"chroot_directory"}
    problems = []
    for key in data:
        if key in connector or key in ours:
            continue
        if key.startswith("_"):
            # Names of one's own; but a misspelt `_sudo`, which pyinfra ignores, would leave the run without root.
            close = "" if key in (arguments or ()) else nearest(key, arguments or ())
            if close:
                problems.append(f"{key}: is no argument of pyinfra{close}")
        elif key in RENAMED:
            problems.append(f"{key}: was renamed; use {RENAMED[key]}")
        else:
            problems.append(f"{key}: unknown setting{nearest(key, ours | connector)}")
    if problems:
        raise SettingsError(problems)
