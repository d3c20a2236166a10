"""What every component declares: no secret outside secret files, shell that parses, and paths nobody else writes."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deploys.components import COMPONENTS
from deploys.lib.apply import change_for
from deploys.lib.bundle import bundle
from deploys.lib.component import Component, ConfigFile, Here, Link
from deploys.lib.render import ROOT
from deploys.lib.transaction import question
from tests.unit import site

EACH = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
LEAKS = {spelling for value in site.SECRETS.values() for spelling in site.spellings(value)}
# A line of a key is as much of it as is needed to know that it is there.
LEAKS.add(Path(site.edge_data()["edge_tls_key"].removeprefix("file:")).read_text().splitlines()[1])


def places(component: Component) -> list[Here]:
    hardened = {"hardening_level": "strict", "hardening_ssh_users": ["ada"], "hardening_ssh_groups": ["adm"]}
    shipped = {"runtime": "compose", "engine_images_from": "controller"}
    alone = [site.having(component, **data) for data in ({}, hardened, {"runtime": "compose"}, shipped)]
    return [*alone, site.home(site.fronted(), component.name)]


def leaks(text: str) -> list[str]:
    return [secret for secret in LEAKS if secret in text]


@EACH
def test_a_file_with_a_secret_is_marked_and_closed_to_others_and_no_other_file_has_one(component: Component) -> None:
    for here in places(component):
        for item in component.files(here):
            has_one = bool(leaks(item.text)) or item.path == "/etc/redis/users.acl"  # digests of passwords
            assert item.secret == has_one, item.path
            if has_one:
                assert item.mode in ("0600", "0640"), item.path


@EACH
def test_no_command_question_or_name_has_a_secret_in_it(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in places(component):
        for where, text in site.declared(component, here):
            assert not leaks(text), f"{component.name} {where}"
        for operation, arguments in site.recorded(component, here, monkeypatch):
            shown = {name: value for name, value in arguments.items() if name != "secret_stdin"}
            assert not leaks(repr(shown)), f"{component.name} {operation} {arguments['name']}"


@EACH
def test_the_change_shows_no_secret_where_pyinfra_logs_it(component: Component) -> None:
    # `--debug` and -v write the arguments of a fact and of an operation into the log, by their repr.
    for here in places(component):
        change = change_for(component, here)
        for text in (repr(change), question(change), repr(here), repr(component)):
            assert not leaks(text)
        assert not leaks(bundle(change)), "and the bundle is not plain text"


def shells(component: Component, here: Here, calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    words = ("check", "guard", "ready", "version", "probe", "refusal")
    found = [(where, text) for where, text in site.declared(component, here) if where.split()[0] in words]
    # What the host runs is the whole of check.sh, and of guard.sh.
    found.append(("check.sh", "\n".join(component.check(here))))
    found.append(("guard.sh", "\n".join(component.guard(here))))
    for operation, arguments in calls:
        found += [
            (f"{operation} {arguments['name']} {word}", arguments[word])
            for word in ("script", "test", "command", "unless")
            if arguments.get(word)
        ]
    return [(where, text) for where, text in found if text]


@EACH
def test_every_shell_text_parses(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in places(component):
        for where, text in shells(component, here, site.recorded(component, here, monkeypatch)):
            # An operation puts a test between parentheses: it must not end in an open comment or quote.
            for form in (text, f"if ( {text}\n ) >/dev/null 2>&1; then :; fi"):
                done = subprocess.run(["sh", "-n"], input=form, capture_output=True, text=True)
                assert done.returncode == 0, f"{where}: {done.stderr}"


@EACH
def test_shellcheck_finds_nothing_wrong_in_scripts(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    here = site.having(component, runtime="compose")
    texts = shells(component, here, site.recorded(component, here, monkeypatch))
    scripts = "\n".join(f"f{n}() {{\n{text}\n}}" for n, (_, text) in enumerate(texts))
    command = [
        str(ROOT / ".venv/bin/shellcheck"),
        "-s",
        "sh",
        "-S",
        "warning",
        "-e",
        "SC2010,SC2034,SC2154,SC2164,SC3045",
        "-",
    ]
    done = subprocess.run(command, input=scripts or ":", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@EACH
def test_files_are_complete_and_can_be_listed_in_a_table(component: Component) -> None:
    for here in places(component):
        for item in (*component.files(here), *component.links(here)):
            assert re.fullmatch(r"/[A-Za-z0-9_./@-]+", item.path) and "//" not in item.path and "/../" not in item.path
            if isinstance(item, ConfigFile):
                assert item.text.endswith("\n") and "\r" not in item.text, item.path
                assert re.fullmatch(r"0[0-7]{3}", item.mode) and not int(item.mode, 8) & 0o022, item.path
            else:
                assert isinstance(item, Link) and item.target.startswith("/")


@pytest.mark.parametrize("spread", [False, True])
def test_no_path_is_written_twice_on_a_host(spread: bool) -> None:
    for member in site.fronted() if spread else (site.whole().member,):
        here = site.place(site.fronted(), member.name) if spread else site.whole(hardening_level="strict")
        count = Counter(
            item.path
            for component in COMPONENTS
            if member.has(component.name)
            for item in (*component.files(here), *component.links(here))
        )
        assert not [path for path, times in count.items() if times > 1]


@EACH
def test_every_operation_has_a_name_of_its_component_without_host_names(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    for operation, arguments in site.recorded(component, site.having(component, runtime="compose"), monkeypatch):
        assert arguments["name"].startswith(f"{component.name} | "), operation
        assert "gateway.example.org" not in arguments["name"]


@EACH
def test_a_listener_names_the_setting_that_moves_it(component: Component) -> None:
    for listener in component.listeners(site.having(component)):
        key, _, field = listener.setting.partition("_")
        assert key == component.name and field in component.settings.model_fields
        moved = site.having(component, **{listener.setting: 12345})
        assert [other.port for other in component.listeners(moved) if other.setting == listener.setting] == [12345]


@EACH
def test_probes_have_names_of_their_own_and_a_limit(component: Component) -> None:
    for here in places(component):
        names = [probe.name for probe in component.probes(here)]
        assert len(names) == len(set(names))
        assert all(0 < probe.seconds <= 300 for probe in component.probes(here))
