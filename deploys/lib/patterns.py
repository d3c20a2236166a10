"""Patterns that texts must match, each with the words a person is told when one does not: `must be WORDS`."""

from __future__ import annotations

_WORDS: dict[str, str] = {}


def worded(pattern: str, words: str) -> str:
    """``pattern``, for a field or a type; ``words`` complete the sentence `must be ...`."""
    if _WORDS.setdefault(pattern, words) != words:
        raise ValueError(f"{pattern} has other words already: {_WORDS[pattern]}")
    return pattern


def words_of(pattern: str) -> str:
    """What is said in place of ``pattern``; empty when it was not given words."""
    return _WORDS.get(pattern, "")


# An address of the web, with no character that a shell or a unit file reads as anything but itself, whoever forgets
# to quote it. `&` is allowed, for addresses with a signature: every command quotes them.
_UNSAFE = r"\s'\"\\`$;|<>()*"
_PLAIN = f"[^{_UNSAFE}]"
# Its host and port. A user and a password before an @ would be a secret in plain text.
_HOST = rf"(\[[0-9A-Fa-f:.]+\]|[^{_UNSAFE}@/?#:\[\]]+)(:[0-9]+)?"
_SIGNS = "with no user before an @, and without spaces, quotes, backticks and the signs \\ $ ; | < > ( ) *"
URL = worded(rf"^https?://{_HOST}([/?#]{_PLAIN}*)?$", f"an address that begins with http:// or https://, {_SIGNS}")
URL_NO_SLASH = worded(
    rf"^https?://{_HOST}([/?#]{_PLAIN}*[^{_UNSAFE}/])?$",
    f"an address that begins with http:// or https://, without a slash at its end, {_SIGNS}",
)
URL_OR_FILE = worded(
    rf"^(https?://{_HOST}[/?#]{_PLAIN}*|file:///{_PLAIN}+)$",
    f"an address that begins with http://, https:// or file:///, {_SIGNS}",
)
# What is given for one of these may have a password in it, and is not shown.
ADDRESSES = {URL, URL_NO_SLASH, URL_OR_FILE}
# Of what is a secret itself.
SECRET_URL = worded(rf"^https?://{_PLAIN}+$", "an address that begins with http:// or https://")
# Which of these are addresses is asked of the ipaddress module afterwards.
IP = worded(r"^[0-9a-fA-F.:]+$", "an IP address, such as 10.0.0.5 or fd00::5")
RELEASE = worded(r"^\d+\.\d+\.\d+$", "a release of three numbers, such as 1.2.3")
SHA256 = worded(r"^[0-9a-f]{64}$", "a SHA-256 sum: 64 digits, 0 to 9 and a to f")
IMAGE = worded(
    r"^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*(:[A-Za-z0-9_.-]+)?@sha256:[0-9a-f]{64}$",
    "an image with its digest, which is its name and then @sha256: and 64 digits, because what a tag alone names may "
    "be another image tomorrow",
)
# Empty when no run is named.
RUN = worded(r"^([0-9]{8}T[0-9]{6}Z-[0-9a-f]{4})?$", "a run's name, such as 20260131T235959Z-a1b2")
AGE = worded(r"^[1-9]\d*[dhm]$", "a whole number above 0 and a unit, d, h or m, such as 30d")
