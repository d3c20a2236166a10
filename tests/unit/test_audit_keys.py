"""Names of keys: any single slip is caught, and each is explained by the rule that knows most about it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deploys.auditing import rules_keys
from deploys.auditing.document import Document, KeyPath, parse_yaml
from deploys.auditing.findings import rename_key
from deploys.auditing.known import assumed, names, section_of, standing_in
from deploys.auditing.rules import audit
from deploys.auditing.sources import Source, read_source
from deploys.auditing.subject import Subject
from deploys.lib.render import ROOT
from tests.unit.audit import bundle
from tests.unit.thorough import examples, thorough

pytestmark = thorough

OURS = ROOT / "tests" / "golden" / "litellm" / "etc__litellm__config.yaml"


@cache
def ours() -> Document:
    return parse_yaml(read_source(OURS, is_yaml=True))


def own_keys() -> list[KeyPath]:
    return [path for path in ours().marks if isinstance(path[-1], str)]


def slips(name: str) -> list[str]:
    """``name`` with one letter dropped, doubled, or swapped with the next."""
    found = []
    for at in range(len(name)):
        found += [name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:]]
        if at + 1 < len(name):
            found.append(name[:at] + name[at + 1] + name[at] + name[at + 2 :])
    return sorted({slip for slip in found if slip and slip != name})


def test_every_key_of_ours_stands_in_a_section_that_is_known() -> None:
    assert [path for path in own_keys() if section_of(path[:-1]) is None] == []
    for path in own_keys():
        assert path[-1] in names(assumed(), section_of(path[:-1]) or ""), path


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_any_slip_in_any_key_of_ours_is_found_in_its_line(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(own_keys()))
    slip = data.draw(st.sampled_from(slips(str(path[-1]))))
    section = section_of(path[:-1])
    assume(slip not in names(assumed(), section or ""))
    (edit,) = rename_key(ours(), path, slip)
    lines = ours().source.lines
    lines[edit.first : edit.last] = edit.lines
    config = parse_yaml(Source("config.yaml", "\n".join(lines) + "\n"))
    found = audit(Subject(config, assumed()))
    about = [finding for finding in found if finding.place.line == edit.first + 1]
    assert about, f"{slip} in line {edit.first + 1}"
    assert any(slip in finding.detail for finding in about)


def found_in(text: str, folder: Path, *options: str) -> dict[str, str]:
    (folder / "config.yaml").write_text(text)
    report = bundle.report([str(folder / "config.yaml"), *(options or ("--version", assumed()))])
    return {
        finding.rule: finding.detail for finding in report.findings if finding.rule[0] == "K" or finding.rule == "L38"
    }


@pytest.mark.parametrize(
    ("text", "rule", "detail"),
    [
        ("router_settings: {num_retry: 1}", "L38", "router_settings has no 'num_retry'; did you mean num_retries?"),
        ("litellm_settings: {zzz: 1}", "L38", "litellm_settings has no 'zzz'"),
        (
            "litelm_settings: {drop_params: true}",
            "L38",
            "config.yaml has no 'litelm_settings'; did you mean litellm_settings?",
        ),
        (
            "litellm_settings: {cache_params: {max_conections: 5}}",
            "L38",
            "cache_params has no 'max_conections'; did you mean max_connections?",
        ),
        ("litellm_settings: {cache_params: {zzz: 5}}", "L38", "cache_params has no 'zzz', and LiteLLM does not start"),
        (
            "general_settings: {routing_strategy: simple-shuffle}",
            "K01",
            "routing_strategy belongs into router_settings, not into general_settings",
        ),
        ("cooldown_time: 5", "K01", "cooldown_time belongs into router_settings, not into top level"),
        ("a: &a {x: 1}\nb: 2\nb: 3", "K03", "b is in line 2 too"),
    ],
)
def test_a_key_is_explained(text: str, rule: str, detail: str, tmp_path: Path) -> None:
    assert found_in(text + "\n", tmp_path).get(rule) == detail


def test_what_a_provider_may_want_is_not_called_a_mistake(tmp_path: Path) -> None:
    text = (
        "model_list: [{model_name: a, litellm_params: {model: openai/a, my_servers_flag: 1}, model_info: {team: x}}]\n"
    )
    (tmp_path / "config.yaml").write_text(text)
    found = [f for f in bundle.report([str(tmp_path / "config.yaml")]).findings if f.rule == "L38"]
    assert [finding.severity.name for finding in found] == ["P2", "P2"]


def test_a_release_that_is_not_known_is_judged_by_another_and_that_is_said(tmp_path: Path) -> None:
    assert standing_in(assumed()) == ""
    (tmp_path / "config.yaml").write_text("litellm_settings: {drop_params: true}\n")
    report = bundle.report([str(tmp_path / "config.yaml"), "--version", "99.0.0"])
    assert [note for note in report.notes if note.startswith("the keys of LiteLLM 99.0.0 are not known; those of ")]


def test_a_key_of_another_release_is_told_apart_from_a_slip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_keys, "releases_with", lambda section, key: ("1.90.7",) if key == "old_setting" else ())
    assert found_in("general_settings: {old_setting: 1}\n", tmp_path) == {
        "K02": f"general_settings.old_setting is read by 1.90.7, and not by {assumed()}"
    }
