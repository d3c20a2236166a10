"""A reader of JSON objects that checks types and limits, and remembers every problem instead of the first."""

import difflib
import json
import urllib.parse
from typing import Any


class Reader:
    """Takes known keys out of one JSON object; what is left over at `finish` is an error.

    Every problem is one phrase that starts with the full key, collected in `problems`, which nested readers share.
    A value is quoted only where it cannot be a secret: someone may have put a password under a misspelt key.
    """

    def __init__(self, data: dict[str, Any], path: str, problems: list[str], hint: str = "") -> None:
        self._left = dict(data)
        self._path = path
        self._known: list[str] = []
        self._hint = hint
        self.problems = problems

    def _key(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _take(self, name: str, kinds: tuple[type, ...], what: str, default: Any) -> Any:
        self._known.append(name)
        value = self._left.pop(name, None)
        if value is None:
            if default is ...:
                self.problems.append(f"{self._key(name)}: missing; it must be {what}")
            return default
        # bool is a subclass of int, and "port": true is nobody's intention.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.problems.append(f"{self._key(name)}: must be {what}, not {json.dumps(value)[:40]}")
            return default
        return value

    def text(self, name: str, default: Any = ...) -> str:
        """Take a non-empty string of printable characters."""
        value = self._take(name, (str,), "a non-empty string", default)
        if isinstance(value, str) and not (value and value.isprintable()):
            self.problems.append(f"{self._key(name)}: must be a non-empty string of printable characters")
        return value if isinstance(value, str) else ""

    def flag(self, name: str, default: bool) -> bool:
        """Take true or false."""
        return bool(self._take(name, (bool,), "true or false", default))

    def whole(self, name: str, low: int, high: int, default: Any = ...) -> int:
        """Take a whole number between two limits, both allowed."""
        given = self._left.get(name) is not None  # a default may stand for "absent" and lie outside the limits
        value = self._take(name, (int,), f"a whole number from {low} to {high}", default)
        if given and isinstance(value, int) and not low <= value <= high:
            self.problems.append(f"{self._key(name)}: must be from {low} to {high}, not {value}")
        return value if isinstance(value, int) else low

    def seconds(self, name: str, low: float, high: float, default: float) -> float:
        """Take a duration in seconds between two limits, both allowed."""
        value = float(self._take(name, (int, float), f"a number of seconds from {low:g} to {high:g}", default))
        if not low <= value <= high:  # also true for NaN, which Python's json reads
            self.problems.append(f"{self._key(name)}: must be from {low:g} to {high:g} seconds, not {value:g}")
            return default
        return value

    def host(self, name: str, default: Any = ...) -> str:
        """Take a host name or address; an IPv6 address may be written with or without brackets."""
        value = self.text(name, default)
        return value[1:-1] if value.startswith("[") and value.endswith("]") else value

    def url(self, name: str) -> str:
        """Take an http or https URL without user, password, query or trailing slash."""
        value = self.text(name)
        if not value:
            return value
        try:
            parts = urllib.parse.urlsplit(value)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine, parts = False, urllib.parse.urlsplit("")
        if not fine:
            self.problems.append(f"{self._key(name)}: must be an http or https URL such as http://127.0.0.1:4100")
        elif parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            self.problems.append(f"{self._key(name)}: a URL here must not hold a user, password, query or fragment")
        return value.rstrip("/")

    def section(self, name: str, required: bool = False, hint: str = "") -> "Reader | None":
        """Take a nested object, or None when it is absent or null."""
        value = self._take(name, (dict,), "an object", ... if required else None)
        return Reader(value, self._key(name), self.problems, hint) if isinstance(value, dict) else None

    def sections(self, name: str) -> "list[Reader]":
        """Take a list of objects."""
        value = self._take(name, (list,), "a list of objects", ...)
        readers = []
        for position, item in enumerate(value if isinstance(value, list) else []):
            if isinstance(item, dict):
                readers.append(Reader(item, f"{self._key(name)}[{position}]", self.problems))
            else:
                self.problems.append(f"{self._key(name)}[{position}]: must be an object")
        return readers

    def wrong(self, name: str, problem: str) -> None:
        """Remember a problem with one key that only the caller can see."""
        self.problems.append(f"{self._key(name)}: {problem}")

    def finish(self) -> None:
        """Remember every key that nobody took, with the nearest known key when there is one."""
        for name in self._left:
            near = difflib.get_close_matches(name, self._known, n=1)
            advice = f'; did you mean "{near[0]}"?' if near else f"; known keys: {', '.join(sorted(self._known))}"
            self.problems.append(f"{self._key(name[:60])}: unknown key{advice}{self._hint}")
