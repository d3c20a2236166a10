"""Whole files without their secrets: YAML and everything else, line by line, for a host may have no parser."""

from __future__ import annotations

import re

from deploys.auditing.masking import harmless, is_secret, mask, mask_tokens

_NAME = re.compile(r"""(?P<q>["']?)(?P<name>[A-Za-z_][\w.-]*)(?P=q)(?P<sep>[ \t]*:(?=\s|$|["'])[ \t]*|=)""")
_OPTION = re.compile(
    r"(?:--(?:api[-_]key|requirepass|masterauth|pass(?:word)?|user)|(?<=redis-cli )-a|\brequirepass|\bmasterauth)"
    r"[\"',\s=]+(?P<value>[^\s\"',\]]+)"
)
# The password of curl's `-u name:password`; elsewhere -u is another option.
_LOGIN = re.compile(
    r"(?<=[\s\"',])(?:-u|--user|--proxy-user|-U)(?:[\s=]*|[\"']\s*,\s*)(?:\"[^\":]*:(?P<double>[^\"]+)|"
    r"'[^':]*:(?P<single>[^']+)|[^\s:\"']*:(?P<value>[^\s\"']+))"
)
_ACL = re.compile(r"(?<=\s)>(?P<value>[^\s>]+)")
_QUOTED = {'"': re.compile(r'"(?:\\.|[^"\\])*"'), "'": re.compile(r"'(?:''|[^'])*'")}
_SCALARS = re.compile(
    r"""(?P<lead>^\s*(?:-\s+)*)|(?P<key>(?:[\w.-]+|"[^"]*"|'[^']*')\s*:(?=\s|$))|(?P<comment>(?:^|\s)\#.*)"""
    r"""|"(?:\\.|[^"\\])*"?|'(?:''|[^'])*'?"""
    r"""|[^\s,\[\]{}:#"'][^,\[\]{}]*?(?=\s*(?:[,\[\]{}]|\s\#|$|:\s))"""
)


def _hide(value: str) -> str:
    """One scalar of YAML or one shell word, masked inside its quotes."""
    quote = value[0] if value[:1] in ("'", '"') else ""
    inner = value[1:-1] if quote and value.endswith(quote) and len(value) > 1 else value.removeprefix(quote)
    if harmless(inner) or re.fullmatch(r"[*&]\w+|[-+]?", value):
        return value
    return f"{quote}{mask(inner)}{quote}"


def _hide_all(text: str) -> str:
    """Every scalar of text that stands under a secret's key, with the structure of the YAML left alone."""

    def replace(found: re.Match[str]) -> str:
        return found.group(0) if found.lastgroup in ("lead", "key", "comment") else _hide(found.group(0))

    return _SCALARS.sub(replace, text)


def _depth(text: str) -> int:
    bare = re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(?:^|\s)#.*", "", text)
    return sum(bare.count(sign) for sign in "{[") - sum(bare.count(sign) for sign in "}]")


class _Yaml:
    """Reads YAML line by line, because on a host there may be no parser, and masks what stands under secret keys."""

    def __init__(self) -> None:
        self.below: int | None = None  # indentation of the secret key whose value goes on in the next lines
        self.how = ""  # "block", the quote that is still open, "flow", or "" for a mapping or list
        self.flow = 0  # brackets open since earlier lines

    def line(self, text: str) -> str:
        if self.below is not None:
            indent = len(text) - len(text.lstrip())
            inside = not text.strip() or indent > self.below or (indent == self.below and text.lstrip()[:2] == "- ")
            if self.how in ('"', "'", "flow") or inside:
                return self.within(text)
            self.below = None
        explicit = re.match(r"(\s*):(?:\s+|$)", text)
        if explicit:
            # `? api_key` in one line and `: value` in the next: nobody writes that but to see whether it is masked.
            made = explicit.group(0) + self.scan(f"{explicit.group(1)}key: {text[explicit.end() :]}").removeprefix(
                f"{explicit.group(1)}key: "
            )
        else:
            made = self.scan(text)
        self.flow = max(0, self.flow + _depth(made))
        return made

    def within(self, text: str) -> str:
        """A line that belongs to a secret's value."""
        if not text.strip():
            return text
        space = text[: len(text) - len(text.lstrip())]
        if self.how == "block":
            return space + mask(text.strip())
        if self.how in ('"', "'"):
            end = re.search(rf"{self.how}\s*[,}}\]]*\s*(?:#.*)?$", text)
            if not end:
                return space + mask(text.strip())
            self.below = None
            return space + mask(text[len(space) : end.start()]) + text[end.start() :]
        made = _hide_all(text)
        if self.how == "flow":
            self.flow = max(0, self.flow + _depth(made))
            self.below = None if self.flow == 0 else self.below
        return made

    def scan(self, text: str) -> str:
        done, at = "", 0
        comment = text.lstrip().startswith("#")
        while found := _NAME.search(text, at):
            if not is_secret(found.group("name")):
                done, at = done + text[at : found.end()], found.end()
                continue
            done += text[at : found.end()]
            rest = text[found.end() :]
            lead = re.match(r"(?:[&!][\w!./-]*(?:[ \t]+|$))*", rest)
            done, rest = done + lead.group(0) if lead else done, rest[lead.end() if lead else 0 :]
            indent = found.start() if not comment else len(text)
            if not rest.strip() or rest.lstrip().startswith("#") or re.match(r"[|>][-+0-9]*\s*(?:#.*)?$", rest):
                if not comment:
                    self.below, self.how = indent, "block" if rest[:1] in ("|", ">") else ""
                return done + rest
            if rest[0] in "[{":
                if self.flow + _depth(done + rest) > 0 and not comment:
                    self.below, self.how = indent, "flow"
                return done + _hide_all(rest)
            quoted = _QUOTED[rest[0]].match(rest) if rest[0] in _QUOTED else None
            if rest[0] in _QUOTED and not quoted:
                self.below, self.how = (indent, rest[0]) if not comment else (self.below, self.how)
                return done + rest[0] + mask(rest[1:])
            flow = self.flow + _depth(done) > 0 or found.group("sep") == "="
            if quoted:
                value = quoted.group(0)
            else:
                plain = re.match(r"[^,}\]\"'\s]*" if flow else r".*", rest)
                value = re.split(r"\s#", plain.group(0) if plain else "")[0].rstrip()
            if not flow and not quoted and not comment:
                self.below, self.how = indent, ""  # a plain value may go on, indented, in the next line
            done, text, at = done + _hide(value), rest[len(value) :], 0
        return done + text[at:]


def _hide_login(found: re.Match[str]) -> str:
    """`-u name:password` with the password masked."""
    start, stop = found.span(found.lastgroup or 0)
    whole, at = found.group(0), found.start()
    return whole[: start - at] + _hide(whole[start - at : stop - at]) + whole[stop - at :]


def mask_text(text: str, yaml: bool) -> str:
    """A whole file without its secrets; the same lines, and as YAML the same structure."""
    reader, made, pem = _Yaml(), [], False
    for line in text.splitlines():
        pem = pem or bool(re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY", line))
        if pem:
            space = line[: len(line) - len(line.lstrip())]
            pem = not re.search(r"-----END [A-Z ]*PRIVATE KEY", line)
            line = space + mask(line.strip())
        elif yaml:
            line = reader.line(line)
        else:
            line = _mask_words(line)
        for pattern in (_OPTION, _ACL) if line.lstrip().startswith("user ") else (_OPTION,):
            line = pattern.sub(lambda m: m.group(0).replace(m.group("value"), _hide(m.group("value"))), line)
        if "curl" in text:
            line = _LOGIN.sub(_hide_login, line)
        made.append(mask_tokens(line))
    return "\n".join(made) + ("\n" if text.endswith("\n") else "")


def _mask_words(line: str) -> str:
    """A line of an environment file, a unit, a script or a server's configuration."""
    whole = re.match(r"\s*(?:export\s+|set\s+)?([A-Za-z_]\w*)=", line)
    if whole and is_secret(whole.group(1)):
        return line[: whole.end()] + _hide(line[whole.end() :].strip())

    def replace(found: re.Match[str]) -> str:
        value = found.group("value")
        if value in ("Bearer", "Basic"):
            return found.group(0)
        if not is_secret(found.group("name")):
            # Environment="NAME=value", and commands in quotes: once more, inside.
            inside = _mask_words(value[1:-1]) if value[:1] in ("'", '"') and len(value) > 1 else ""
            return found.group("head") + value[0] + inside + value[-1] if inside else found.group(0)
        return found.group("head") + _hide(value)

    return _WORDS.sub(replace, line)


_WORDS = re.compile(
    r"""(?P<head>(?P<name>[A-Za-z_][\w-]*)["']?(?:=|:\s*))"""
    r"""(?P<value>"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'<>,;]+)"""
)
