"""The base of every host: extra certificate authorities, and the order of what it does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploys.components.base import AUTHORITIES, BASE, TRUSTED
from deploys.lib.settings import SettingsError
from deploys.lib.transaction import program_folder
from tests.unit import site

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_an_extra_authority_is_a_file_that_update_ca_certificates_reads(tmp_path: Path) -> None:
    (tmp_path / "proxy.pem").write_text(PEM)
    (file,) = BASE.files(site.single(extra_ca_certificates=[f"{tmp_path}/proxy.pem"]))
    assert file.path == "/usr/local/share/ca-certificates/portcullis-proxy.crt", "others than *.crt are not read"
    assert (file.text, file.mode, file.effect) == (PEM, "0644", "none")


def test_the_store_is_made_anew_whenever_the_extra_authorities_are_others(tmp_path: Path) -> None:
    """Also by going back, which brings files and asks the same question."""
    (one,) = BASE.provisions(site.single())
    store, noted = tmp_path / "store", tmp_path / "noted"
    store.mkdir()
    (tmp_path / "update-ca-certificates").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n')
    (tmp_path / "update-ca-certificates").chmod(0o755)

    def run(text: str) -> bool:
        script = text.replace(AUTHORITIES, str(store)).replace(TRUSTED, str(noted))
        return not subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}).returncode

    changes = (
        lambda: None,
        lambda: (store / "portcullis-a.crt").write_text(PEM),
        lambda: (store / "portcullis-a.crt").write_text(PEM.replace("MIIB", "MIIC")),
        lambda: (store / "portcullis-a.crt").unlink(),
    )
    for asked, change in enumerate(changes, 1):
        change()
        assert not run(one.test) and run(one.command) and run(one.test)
        assert (tmp_path / "asked").read_text() == "--fresh\n" * asked
    (store / "company.crt").write_text(PEM)
    assert run(one.test), "others are none of ours"


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
    folder = program_folder()
    assert re.fullmatch(r"/usr/local/lib/portcullis/transact-[0-9a-f]{12}", folder)
    programs = [
        "ledger_entries.py",
        "ledger_shown.py",
        "ledger_plan.py",
        "ledger_data.py",
        "ledger_prune.py",
        "guard-lib",
        "ledger",
        "transact-lib",
        "transact-confirm",
        "transact",
    ]
    assert calls[:12] == [("packages", ""), ("unless", ""), *(("put", f"{folder}/{name}") for name in programs)], (
        "what a program reads when it starts is there before it, and python3 before the ledger"
    )


def refusal(folder: Path, names: str = "", asked: str = "") -> str:
    """What the host says of ``folder`` as backup_root; ``names`` are shell functions that play its programs.

    ``asked`` is a word of the question; without one it is the first.
    """
    here = site.single(backup_root="/srv/backups")
    probe = next(probe for probe in BASE.refusals(here) if asked in probe.name)
    script = f"{names}\n{probe.command.replace('/srv/backups', str(folder))}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert bool(done.returncode) is bool(done.stdout), done
    return done.stdout.strip().replace(str(folder), "ROOT")


def test_a_full_backup_disk_is_said_before_anything_changes(tmp_path: Path) -> None:
    def df(free: int) -> str:
        return f"df() {{ [ \"$3\" = {tmp_path} ] && printf 'Avail\\n%s\\n' {free}; }}"

    for folder in (tmp_path, tmp_path / "not" / "there"):  # the disk it will be made on
        assert refusal(folder, df(20), "room") == ""
        assert refusal(folder, df(19), "room") == (
            "backup_root: ROOT has 19 MB left, and a copy of whatever changes goes there; make room, or name another "
            "folder"
        )


def test_a_backup_root_that_is_used_otherwise_is_refused_before_anything_changes(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    # Whoever runs the tests: the folders are said to be root's.
    root = 'stat() { case $3 in %U) echo root ;; *) command stat "$@" ;; esac; }'
    assert refusal(folder, root) == ""
    folder.mkdir()
    for mode, said in (
        (0o700, ""),
        (0o755, ""),
        (0o775, "can be written to by others (mode 775)"),
        (0o1777, "can be written to by others (mode 1777)"),
    ):
        folder.chmod(mode)
        assert refusal(folder, root) == (f"backup_root: ROOT {said}" if said else "")
    (folder / "dpkg").mkdir()
    folder.chmod(0o755)
    assert refusal(folder, root) == (
        "backup_root: ROOT has other things in it and is open to other users (mode 755); name a new folder, such as "
        "/var/backups/portcullis"
    )
    folder.chmod(0o700)
    assert refusal(folder, root) == "", "what an earlier run has made"
    theirs = root.replace("echo root", "echo redis")
    assert refusal(folder, theirs) == ("backup_root: ROOT belongs to redis; name a folder that is for root alone")
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file", root) == "backup_root: ROOT is not a folder"
