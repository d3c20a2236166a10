"""The one jinja environment: secrets only on purpose, no undefined names, and quoting that the other side undoes."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from pydantic import SecretStr

from deploys.components import COMPONENTS
from deploys.components.hardening.component import PLAN
from deploys.lib.component import Component, Here
from deploys.lib.render import ROOT, UnrevealedSecret, environment, quote_conf, quote_env, to_yaml
from tests.unit import site
from tests.unit.golden import rendered

# What can stand in a setting or a secret: any text but control characters.
PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
SHELL_TEXT = st.text(st.sampled_from("\"'`$\\!#;&|*?~ {}()<>%=aZ0é\t"), max_size=30)


def made(text: str, **names: object) -> str:
    return environment().from_string(text).render(**names)


def test_a_secret_is_printed_only_through_reveal() -> None:
    secret = SecretStr("open sesame")
    with pytest.raises(UnrevealedSecret, match=re.escape("a template prints a secret without `| reveal`")):
        made("{{ s }}", s=secret)
    assert made("{{ s | reveal }}", s=secret) == "open sesame"


def test_an_undefined_name_stops_the_rendering() -> None:
    for text in ("{{ s.nothing }}", "{{ nothing }}", "{% if nothing %}x{% endif %}"):
        with pytest.raises(UndefinedError):
            made(text, s=object())


def test_nothing_is_escaped_for_html_and_the_last_line_break_stays() -> None:
    assert made("{{ x }}\n", x="<&'\">") == "<&'\">\n"


@settings(max_examples=25, deadline=None)
@given(values=st.lists(PRINTABLE | SHELL_TEXT, min_size=8, max_size=12))
def test_a_quoted_value_comes_back_from_a_shell_as_it_was(values: list[str]) -> None:
    text = "".join(f"X{n}={quote_env(value)}\n" for n, value in enumerate(values))
    show = "; ".join(f'printf "%s\\0" "$X{n}"' for n in range(len(values)))
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    with os.fdopen(read):
        done = subprocess.run(
            ["sh", "-c", f". /dev/fd/{read}; {show}"], pass_fds=[read], capture_output=True, check=True, env={}
        )
    assert done.stdout.decode().split("\0")[:-1] == values
    assert not done.stderr


def systemd_unquotes(text: str) -> str:
    """A double-quoted value as systemd reads it (load_env_file): a backslash escapes `"`, `\\`, a backtick and `$`."""
    assert text[0] == text[-1] == '"'
    return re.sub(r'\\(["\\`$])', r"\1", text[1:-1])


@given(value=PRINTABLE | SHELL_TEXT)
def test_a_quoted_value_comes_back_from_systemd_as_it_was(value: str) -> None:
    assert systemd_unquotes(quote_env(value)) == value


@given(value=PRINTABLE | SHELL_TEXT)
def test_a_quoted_value_is_one_string_of_postgresql_conf(value: str) -> None:
    text = quote_conf(value)
    assert re.fullmatch(r"'(?:[^']|'')*'", text)
    assert text[1:-1].replace("''", "'") == value


SCALARS = (
    st.none() | st.booleans() | st.integers() | PRINTABLE | st.sampled_from(["yes", "off", "1e3", "0x1", "~", "- a"])
)


@given(value=st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(PRINTABLE, inner), max_leaves=12))
def test_yaml_comes_back_as_it_was(value: object) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_yaml_keeps_order_and_long_lines() -> None:
    text = to_yaml({"z": 1, "a": "word " * 60})
    assert text.startswith("z: 1\na: ") and len(text.splitlines()) == 2


def everything(here: Here) -> dict[str, str]:
    return {
        f"{component.name}/{name}": text
        for component in COMPONENTS
        if here.member.has(component.name)
        for name, text in rendered(component, here).items()
    }


def test_no_rendered_file_has_a_date_a_host_name_or_a_run_in_it() -> None:
    first, again = everything(site.whole()), everything(site.whole())
    assert first == again, "the same input gives the same text"
    words = [str(ROOT), str(Path.home()) + "/", datetime.now(UTC).strftime("%Y%m%d")]
    words += [datetime.now(UTC).strftime("%Y-%m-%d"), "gateway.example.org"]
    for name, text in first.items():
        # The name of an Ollama host is part of a deployment's id: two hosts may have the same model.
        # And the edge says which gateway has answered.
        text = text.replace("id: gateway.example.org-", "").replace("server gateway.example.org ", "")
        assert not [word for word in words if word in text], name


def test_no_rendered_file_depends_on_the_name_of_its_own_host() -> None:
    common = {name: address for name, address in zip(("gw-1", "gw-2"), ("192.0.2.21", "192.0.2.22"), strict=True)}
    site_of_two = site.split(common)
    one, two = (everything(site.place(site_of_two, name)) for name in ("gw-1", "gw-2"))
    # But for the hour in which a gateway is upgraded.
    hours = [made.pop("hardening/" + PLAN.strip("/").replace("/", "__")) for made in (one, two)]
    assert one == two and len({text.replace("03:00:00", "02:00:00").replace("03:30", "02:30") for text in hours}) == 1


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_rendered_file_begins_with_where_it_comes_from(component: Component) -> None:
    for name, text in rendered(component, site.having(component)).items():
        if text.rstrip("\n") in site.SECRETS.values() or name.endswith((".acl", ".json", ".pem")):
            continue  # formats without comments, or a password alone
        template = re.match(
            r"# Managed by Portcullis from templates/(\S+); edits are overwritten by the next run\.\n", text
        )
        assert template, name
        assert (ROOT / "templates" / template[1]).is_file(), name


def test_every_template_is_used_by_something() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "deploys").rglob("*.py"))
    sources += "".join(path.read_text() for path in (ROOT / "templates").rglob("*.j2"))
    for path in (ROOT / "templates").rglob("*.j2"):
        folder, name = path.parent.name, path.name.removesuffix(".j2")
        assert f"{folder}/{path.name}" in sources or f'"{name}"' in sources, path
