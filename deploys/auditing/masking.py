"""Secrets taken out of text before anything else reads it; only what a rule must know of each one stays.

A secret becomes ``<masked.36.sk>``: its length and traits. Rules, diffs and reports get masked text only, so none of
them can show one. This file is also sent to hosts and runs there before anything leaves them: it imports the standard
library and nothing of ours. In doubt it masks.
"""

from __future__ import annotations

import difflib
import re

_WELL_KNOWN_WORDS = """
    1234 12345 123456 12345678 123456789 1234567890 1234567890abcdef 9090 abc123 admin admin123 changeit
    changeme change-me change_me dbpassword9090 default foobared guest letmein litellm llmproxy master-key
    masterkey my-master-key mypassword pass pass123 password password1 password123 postgres postgresql qwerty
    redis root secret test test123 welcome your-master-key your-salt-key my-secret-salt-key supersecret
"""
WELL_KNOWN = frozenset(_WELL_KNOWN_WORDS.split())
# What people write where a server wants some key and looks at none.
_PLACEHOLDER_WORDS = """
    none null ~ true false empty dummy dummy-key fake fake-key fake-api-key anything na n/a no-key not-needed
    not-used no-key-required placeholder unused ollama sk-none sk-no-key-required yes no on off
    lm-studio lmstudio vllm localai local llama.cpp xinference
"""
PLACEHOLDER = frozenset(_PLACEHOLDER_WORDS.split())
_SECRET = re.compile(
    r"(?:^|_)(?:\w*keys?|secrets?|passwords?|passwd|pass|pwd|tokens?|credentials?|webhook(?:_url)?s?|salt|dsn|"
    r"licen[sc]e|authorization|cookies?|private|passphrase|connection_string|bearer|signature|rediscli_auth|"
    r"masterauth|requirepass|credential_values|headers)$"
)
# Words that make a name a secret's wherever they stand in it: PGPASSWORD, apitoken, DB_PASSWORD_PROD, API_KEY_2.
_INSIDE = re.compile(
    r"pass(?!_?th?ro?u|es_?|ive)|pwd|secret|token|salt|credential|api_?key|master_?key|(?:^|_)keys?(?:_|$)|cookie|"
    r"(?:^|_)auth(?:$|_(?=value|key|data|string|code))"
)
_SECRET_WORDS = (
    *("password", "passwd", "passphrase", "pass", "pwd", "secret", "token", "apikey", "key", "credential", "salt"),
    *("cookie", "auth", "authorization", "webhook", "bearer", "signature", "private", "license"),
)
# Real names with such a word that hold a number, a name, a place or settings; tests hold them against LiteLLM's own.
_PLAIN = re.compile(
    r"\w*cost_per_\w+|\w*token_cost\w*|\w*_per_token|max_?tokens?(?:_\w+)?|"
    r"(?:\w+_)?(?:max(?:imum)?|min(?:imum)?|num|input|output|prompt|completion|total|thinking|context|cached|budget|new|"
    r"top_n|reasoning)(?:_\w+)?_?tok\w*s(?:_reasoning|_non_reasoning)?|(?:cache|hash|primary|sort|group|partition)_key|on_pass|"
    r"(?:\w+_)?by_?pass|\w*(?:allowed|forward)\w*_headers|\w*tokeni[sz]ers?(?:_download)?|"
    r"(?:\w+_)?token_(?:count|rate)(?:_(?:framing|model|tokenizer|limit_type))?|custom_auth(?:_run_common_checks)?|"
    r"custom_key_(?:generate|policy|update)|key_(?:generation|management|rotation|alias)(?:_\w+)?|\w+_key_generate_params|"
    r"\w*_(?:ttl|r?t?pm_limit|size|names?|alias|files?|path|dirs?|endpoint|location|settings|params|system|enabled|disabled|"
    r"interval|seconds|timeout|length|counts?|pattern|scope|audience|profile|method|framing|namespace|type|max|min|ref|env|"
    r"emails?|hint|provider|chars|attempts|period|key_ids?|keyfile|uri|auth_url|token(?:_request)?_url|key_url)|"
    r"(?:enable|disable|require|allow|hide|redact|overwrite|password_policy)_\w+(?<!key)(?<!password)(?<!secret)(?<!token)|"
    r"credential_list|email_subject_\w+|\w*secret_manager_\w+|\w*key_(?:end_)?(?:user|team)_id"
)


def _slips(word: str) -> set[str]:
    """``word`` with one letter dropped, doubled or swapped with the next."""
    places = range(len(word))
    dropped = {word[:at] + word[at + 1 :] for at in places}
    doubled = {word[: at + 1] + word[at:] for at in places}
    return dropped | doubled | {word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :] for at in places}


_SLIPS = {slip for word in _SECRET_WORDS for slip in _slips(word)} - set(_SECRET_WORDS)
# Inside a longer word too, where a slip is no part of another word (`broken`, `stoke`).
_LONG_SLIPS = {slip for slip in _SLIPS if len(slip) > 4} | {"tken", "toen", "tokn", "apss", "psas"}


def _alike(segment: str) -> bool:
    """Whether a part of a name is a secret's word that was misspelt."""
    if segment in _SLIPS or any(slip in segment for slip in _LONG_SLIPS):
        return True
    long = [word for word in _SECRET_WORDS if len(word) > 4]
    return len(segment) > 4 and bool(difflib.get_close_matches(segment, long, 1, 0.8))


_REFERENCE = re.compile(
    r"(?:[Bb]earer |[Bb]asic )?os\.environ(?:/[\w.-]+|\[[^\]]*\]|\.[A-Z_][A-Z0-9_]*)|env[/.][A-Z_][A-Z0-9_]*|"
    r"\{\{\s*[A-Z_][A-Z0-9_]*\s*\}\}|\$[A-Z_][A-Z0-9_]*|\$\{[A-Za-z_]\w*\}|\$\{\w+:\?[^}]*\}|<[a-z][a-z _-]*>"
)
_MARK = re.compile(r"<masked\.(\d+)((?:\.[\w-]+)*)>")
_TOKENS = re.compile(
    r"""(?P<url>(?<=://)[^\s/@'"<>:]*:[^\s'"]+(?=@))"""
    r"""|(?P<query>(?<=[?&])(?:api[-_]?key|key|password|token|secret|sig|signature)=[^\s&'"<>]+)"""
    r"""|(?P<hook>(?:(?<=hooks\.slack\.com/)|(?<=/api/webhooks/)|(?<=webhook\.office\.com/)|(?<=office\.com/webhook/))[^\s'"<>]+)"""
    r"""|(?P<bearer>(?<=Bearer )[^\s'"]{4,}|(?<=Basic )[A-Za-z0-9+/=]{8,})"""
    r"""|(?P<token>(?<![A-Za-z0-9])(?:sk-[^\s'"<>,;()\[\]{}]{2,}|(?<!_)(?:AKIA[0-9A-Z]{12,}"""
    r"""|AIza[\w-]{20,}|xox[abeprs]-[\w-]{8,}|gh[pousr]_\w{16,}|hf_\w{16,}|gsk_\w{16,}|pa-[\w-]{16,}|eyJ[\w-]{8,}\.[\w.-]+)))"""
    r"""|(?P<maybe>(?<![A-Za-z0-9_])(?:[0-9a-fA-F]{32,}(?![A-Za-z0-9])"""
    r"""|(?=[\w+-]*[a-z])(?=[\w+-]*[A-Z])(?=[\w+-]*[0-9])[\w+-]{40,}=*))"""
)


def is_secret(name: str) -> bool:
    """Whether a value under ``name`` is to be kept quiet."""
    plain = name.lower().replace("-", "_").rpartition(".")[2]
    if _PLAIN.fullmatch(plain):
        return False
    bare = re.sub(r"\d+", "", plain)
    if any(pattern.search(text) for pattern in (_SECRET, _INSIDE) for text in (plain, bare)):
        return True
    return any(_alike(segment) for segment in bare.split("_"))


def traits(value: str) -> list[str]:
    """What a rule must know of a secret, in words that give nothing of it away."""
    low = value.lower()
    found = ["sk"] if low.startswith("sk-") else []
    if low in WELL_KNOWN or low.removeprefix("sk-") in WELL_KNOWN:
        return [*found, "well-known"]
    if low in PLACEHOLDER or re.search(r"fake|dummy|example|placeholder|x{5,}|your[-_]|change.?me|replace", low):
        return [*found, "placeholder"]
    return [*found, "weak"] if len(set(value)) < 8 else found


def mask(value: str) -> str:
    """The marker that takes a secret's place."""
    return "".join(["<masked", *(f".{word}" for word in [str(len(value)), *traits(value)]), ">"])


def read_mark(text: object) -> tuple[int, frozenset[str]] | None:
    """Length and traits of the secret that ``text`` (or a part of it) was; None when it was none."""
    found = _MARK.search(text) if isinstance(text, str) else None
    return (int(found.group(1)), frozenset(found.group(2).split(".")) - {""}) if found else None


def harmless(value: str) -> bool:
    """A value that is no secret wherever it stands: empty, a reference, a word people put in place of a key."""
    return not value or value.lower() in PLACEHOLDER or any(p.fullmatch(value) for p in (_REFERENCE, _MARK))


def mask_tokens(text: str) -> str:
    """``text`` without what looks like a secret wherever it stands: keys, passwords in addresses, bearer tokens."""

    def replace(found: re.Match[str]) -> str:
        sign = {"url": ":", "query": "="}.get(found.lastgroup or "", "")
        head, _, cut = found.group(0).partition(sign) if sign else ("", "", found.group(0))
        if harmless(cut):
            return found.group(0)
        # Long and mixed, and still it may be a name: kept quiet, but nobody is told that it is a secret.
        return head + sign + (f"<masked.{len(cut)}.maybe>" if found.lastgroup == "maybe" else mask(cut))

    return _TOKENS.sub(replace, text)


def mask_value(name: str, value: str) -> str:
    """The value of a variable or key called ``name``, masked when either of them says so."""
    if harmless(value):
        return value
    return mask(value) if is_secret(name) else mask_tokens(value)
