"""The audit of files as a command: exit codes, one sentence for what cannot be audited, and the forms of its output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploys.auditing.cli import main
from deploys.auditing.document import parse_yaml
from deploys.auditing.rules import rules
from deploys.auditing.sources import Source, make_source
from deploys.lib.render import ROOT
from tests.unit.audit import bundle

GOOD = "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/A}}]\n"
BAD = "litellm_settings: {failure_callback: [slack]}\n"


def refused(raw: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    assert main([str(path)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    (sentence,) = out.err.splitlines()
    return sentence.removeprefix("portcullis audit: ").replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "config.yaml is empty: there is nothing to audit"),
        (b"# only a comment\n", "config.yaml is empty: there is nothing to audit"),
        (b"- a\n- b\n", "config.yaml is a list, and a configuration is a mapping with keys like model_list"),
        (b"hello\n", "config.yaml is a single value, and a configuration is a mapping with keys like model_list"),
        (b"a:\n\tb: 1\n", "config.yaml:2 is indented with a tab, which YAML does not allow; use spaces"),
        (b"a: [1, 2\n", "config.yaml:2 is not valid YAML: expected"),
        (b"a: *b\n", "config.yaml:1 uses an alias (*name) that no anchor (&name) before it defines"),
        (b"a: 1\n---\nb: 2\n", "config.yaml:2 begins a second YAML document (---), and LiteLLM loads a file with one"),
        (b"a: !vault x\n", "config.yaml:1 has a YAML tag (!...) that LiteLLM cannot load"),
        (b"\x7fELF\x02\x01\x01\x00", "config.yaml is not a text file: it has control characters in it"),
        (b"\x89PNG\r\n\xff", "config.yaml is not a text file in UTF-8"),
        (b"#" + b"x" * 5_242_879, "config.yaml has 5.0 MB, and a configuration has at most 2 MB"),
        (b"a: &a [*a]\n", "config.yaml is nested too deeply, or an anchor in it contains itself"),
        (b"a: " + b"[" * 1000, "config.yaml is nested too deeply, or an anchor in it contains itself"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                f"{n}: &{n} [{','.join(['*' + p] * 10)}]\n".encode() for p, n in zip("abcdef", "bcdefg", strict=True)
            ),
            "config.yaml has more than 100000 values, aliases followed",
        ),
        (
            b"include: [other.yaml]\n",
            "config.yaml includes other.yaml, which is not beside it; LiteLLM would not start",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_audited_is_said_in_one_sentence(
    raw: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(raw, tmp_path, capsys).startswith(sentence)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.endswith("none.yaml cannot be read: No such file or directory\n")
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("cannot be read: Is a directory\n")


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (GOOD, [], 0),
        (BAD, [], 1),
        (BAD, ["--fail-on", "p0"], 1),
        (BAD, ["--fail-on", "never"], 0),
        ("litellm_settings: {set_verbose: true}\n", ["--fail-on", "p0"], 0),
        ("litellm_settings: {set_verbose: true}\n", ["--fail-on", "p1"], 1),
        ("litellm_settings: {drop_params: true}\n", ["--fail-on", "p1"], 0),
        ("litellm_settings: {drop_params: true}\n", ["--fail-on", "p2"], 1),
        (GOOD, ["--version", "latest"], 2),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_exit_code_follows_the_worst_finding(text: str, options: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert main([str(tmp_path / "c.yaml"), *options]) == code


def test_it_runs_as_a_module_from_the_projects_folder(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(BAD)
    command = [sys.executable, "-m", "deploys.audit", str(tmp_path / "c.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert "failure_callback contains slack" in done.stdout
    assert "1 P0 (fix now), 0 P1 (soon)" in done.stdout.splitlines()[-1]


def form(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    main([*bundle.arguments(bundle.HERE / "everything.txt", tmp_path), option])
    made: dict[str, object] = json.loads(capsys.readouterr().out)
    return made


def test_json_has_a_schema_with_a_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = form("--json", tmp_path, capsys)
    assert made["schema"] == "portcullis-audit/1"
    (report,) = made["reports"]  # type: ignore[misc]
    assert set(report) == {"subject", "litellm", "summary", "notes", "findings"}
    assert sum(report["summary"].values()) == len(report["findings"]) > 60
    for finding in report["findings"]:
        assert set(finding) == {
            *("rule", "severity", "title", "detail", "evidence", "effect", "advice", "fix", "source", "fingerprint"),
        }
    prints = [finding["fingerprint"] for finding in report["findings"]]
    assert len(set(prints)) == len(prints)


def test_sarif_has_what_the_schema_requires(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = form("--sarif", tmp_path, capsys)
    assert made["version"] == "2.1.0" and str(made["$schema"]).endswith("sarif-schema-2.1.0.json")
    (run,) = made["runs"]  # type: ignore[misc]
    driver = run["tool"]["driver"]
    assert driver["name"] and [rule["id"] for rule in driver["rules"]] == list(rules())
    for rule in driver["rules"]:
        assert rule["help"]["text"] and rule["shortDescription"]["text"] and rule["fullDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"] and result["level"] in ("error", "warning", "note")
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert re.fullmatch(r"[^\s\\]+", place["artifactLocation"]["uri"])
        assert place.get("region", {"startLine": 1})["startLine"] >= 1


def test_the_page_needs_nothing_and_escapes_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "litellm_settings:\n  failure_callback: ['slack']  # <script>alert(1)</script>\n  '<b>x': 1\n"
    )
    page = tmp_path / "page.html"
    main([str(tmp_path / "c.yaml"), "--html", str(page)])
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text and "<b>x" not in text
    assert not re.search(r"(src|href)\s*=|@import|url\(", text)
    assert page.stat().st_mode & 0o077 == 0


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(GOOD)
    assert main([str(tmp_path / "c.yaml"), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "page.html cannot be written: No such file or directory" in capsys.readouterr().err


def test_what_was_not_given_is_said_to_be_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(GOOD)
    main([str(tmp_path / "c.yaml")])
    out = capsys.readouterr().out
    for option in ("--env", "--unit", "--redis-conf", "--version"):
        assert re.search(rf"not judged: .*{option}", out)


def test_what_a_terminal_would_obey_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(
        'model_list: [{model_name: "\\e[31mx", litellm_params: {model: "ollama_chat/\\a"}}]\n'
    )
    main([str(tmp_path / "c.yaml")])
    assert not [sign for sign in capsys.readouterr().out if ord(sign) < 32 and sign != "\n"]


def test_anchors_and_merges_are_followed_and_a_key_given_twice_is_found(tmp_path: Path) -> None:
    text = (
        "base: &base {timeout: 600}\nmodel_list:\n- model_name: a\n"
        "  litellm_params: {<<: *base, model: openai/a}\n  model_name: b\n"
    )
    document = parse_yaml(make_source("c.yaml", text.encode(), is_yaml=True))
    assert document.get("model_list", 0) == {"model_name": "b", "litellm_params": {"timeout": 600, "model": "openai/a"}}
    (tmp_path / "c.yaml").write_text(text)
    found = bundle.report([str(tmp_path / "c.yaml")]).findings
    assert ("K03", 5, "model_list.0.model_name is in line 3 too") in [(f.rule, f.place.line, f.detail) for f in found]


def test_included_files_are_audited_with_their_own_lines(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "include: [models.yaml]\nmodel_list:\n- model_name: a\n  litellm_params: {model: openai/a}\n"
    )
    (tmp_path / "models.yaml").write_text("model_list:\n- model_name: b\n  litellm_params:\n    model: ollama_chat/b\n")
    (found,) = [f for f in bundle.report([str(tmp_path / "c.yaml")]).findings if f.rule == "L18"]
    assert (Path(found.place.source).name, found.place.line) == ("models.yaml", 4)
    assert "models.yaml" in found.fix and found.fix.endswith(
        "+    api_base: http://127.0.0.1:11434\n     model: ollama_chat/b"
    )


def test_a_source_does_not_show_its_text_in_a_traceback() -> None:
    assert "hello" not in repr(Source("name", "hello"))
