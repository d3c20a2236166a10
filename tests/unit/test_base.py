"""The base of every host: extra certificate authorities, and the order of what it does."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components.base import AUTHORITIES, BASE
from deploys.lib.settings import SettingsError
from tests.unit import site

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def trust(monkeypatch: pytest.MonkeyPatch, *paths: str) -> dict[str, Any]:
    """The step that has authorities trusted, for certificates at ``paths``."""
    here = site.single(extra_ca_certificates=list(paths))
    (step,) = [arguments for name, arguments in site.recorded(BASE, here, monkeypatch) if name == "step"]
    return step


def test_an_extra_authority_is_a_file_that_update_ca_certificates_reads(tmp_path: Path) -> None:
    (tmp_path / "proxy.pem").write_text(PEM)
    (file,) = BASE.files(site.single(extra_ca_certificates=[f"{tmp_path}/proxy.pem"]))
    assert file.path == "/usr/local/share/ca-certificates/portcullis-proxy.crt", "others than *.crt are not read"
    assert (file.text, file.mode, file.effect) == (PEM, "0644", "none")


def test_authorities_are_trusted_again_when_one_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proxy.pem").write_text(PEM)
    before = trust(monkeypatch, f"{tmp_path}/proxy.pem")
    (tmp_path / "proxy.pem").write_text(PEM.replace("MIIB", "MIIC"))
    assert trust(monkeypatch, f"{tmp_path}/proxy.pem")["inputs"] != before["inputs"]


def test_an_authority_that_is_no_longer_wanted_is_no_longer_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.pem").write_text(PEM)
    folder = tmp_path / "trusted"
    folder.mkdir()
    for wanted, left in (([f"{tmp_path}/new.pem"], ["company.crt", "portcullis-new.crt"]), ([], ["company.crt"])):
        for name in ("portcullis-old.crt", "portcullis-new.crt", "company.crt"):
            (folder / name).write_text(PEM)
        script = trust(monkeypatch, *wanted)["script"].replace(AUTHORITIES, str(folder))
        (tmp_path / "update-ca-certificates").write_text('#!/bin/sh\necho "$*"\n')
        (tmp_path / "update-ca-certificates").chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        told = subprocess.run(["sh", "-eu"], input=script, text=True, capture_output=True, env=path)
        assert (told.returncode, told.stdout, told.stderr) == (0, "--fresh\n", "")
        assert sorted(path.name for path in folder.iterdir()) == left


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "extra_ca_certificates: {0}/a.pem cannot be read: FileNotFoundError"),
        ({"a.pem": "hello"}, "extra_ca_certificates: {0}/a.pem is not a PEM certificate"),
        ({"a.pem": PEM + "-----BEGIN PRIVATE KEY-----\n"}, "extra_ca_certificates: {0}/a.pem is not a PEM certificate"),
        ({"a.pem": b"\xff\xfe"}, "extra_ca_certificates: {0}/a.pem cannot be read: UnicodeDecodeError"),
    ],
)
def test_a_file_that_is_no_certificate_is_refused(files: dict[str, str | bytes], sentence: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        site.single(extra_ca_certificates=[f"{tmp_path}/a.pem"])
    assert caught.value.problems == [f"gateway.example.org: {sentence.format(tmp_path)}"]


def test_two_authorities_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ca.pem").write_text(PEM)
    with pytest.raises(SettingsError, match="has the same name as another one; rename one of them"):
        site.single(extra_ca_certificates=[f"{tmp_path}/x/ca.pem", f"{tmp_path}/y/ca.pem"])


def test_an_authority_whose_name_a_shell_would_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "our ca.pem").write_text(PEM)
    with pytest.raises(SettingsError, match=r"our ca.pem: letters, digits, dots, dashes and underscores only"):
        site.single(extra_ca_certificates=[f"{tmp_path}/our ca.pem"])


def test_the_tool_is_put_there_before_any_component_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [(name, arguments.get("dest", "")) for name, arguments in site.recorded(BASE, site.single(), monkeypatch)]
    assert calls[:2] == [("packages", ""), ("put", "/usr/local/lib/portcullis/transact")]
