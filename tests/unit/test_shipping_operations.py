"""Images that are built elsewhere, as pyinfra brings them: what reaches the host in which order, and what is shown."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from deploys import operations, shipping
from deploys.facts import Succeeds
from deploys.lib import image_cache, workshop
from deploys.lib.images import Image, present
from deploys.lib.shipping import FOLDER, Inputs, arrival, stem
from deploys.lib.workshop import Archive, Order, Registry, WorkshopError

IMAGE = Image("thing", "1", "FROM x\n", contexts=(("tree", "/srv/tree"),), arguments=(("VERSION", "cat version"),))
USED_BY = "/etc/portcullis/compose/thing.yaml"
REGISTRY = Registry("registry.example.org/own")
GIVEN = Inputs("amd64", (("VERSION", "1.2-3"),), (("tree", "1" * 64),))


class Target:
    """A host as an operation sees it, and what was made for it."""

    print_prefix = "[host] "
    current_op_global_arguments: dict[str, Any] = {"_sudo": True, "name": "x"}  # noqa: RUF012

    def __init__(self, there: bool = False) -> None:
        self.there, self.noops, self.asked, self.options = there, [], [], []

    def get_fact(self, fact: Any, **asked: str) -> bool:
        assert fact is Succeeds and asked["command"] == present(IMAGE)
        return self.there

    def noop(self, text: str) -> None:
        self.noops.append(text)

    def get_temp_filename(self, text: str) -> str:
        return f"/tmp/{len(text)}"

    def run_shell_command(self, command: Any, **options: Any) -> tuple[bool, Any]:
        text = str(command)
        self.asked.append(text)
        self.options.append(options)
        lines = ["value VERSION 1.2-3", f"folder tree {'1' * 64}", "architecture amd64"]
        if "gather.sh" in text:
            lines = [base64.b64encode(b"logins").decode()]
        return True, SimpleNamespace(stdout_lines=lines, stderr_lines=[])

    def get_file(self, there: str, file: Any, **options: Any) -> bool:
        self.options.append(options)
        file.write(b"packed")
        return True


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    made = Target()
    monkeypatch.setattr(shipping, "host", made)
    monkeypatch.setattr(operations, "host", made)
    monkeypatch.setattr(operations, "watch", lambda unit, folder: None)
    monkeypatch.setattr(shipping, "state", SimpleNamespace(is_executing=True, print_input=False))
    yield made


def ship(cache: Path) -> list[Any]:
    return list(shipping.ship._inner(image=IMAGE, cache=str(cache), used_by=USED_BY))


def test_a_plan_builds_nothing_and_counts_what_will_be_sent(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "state", SimpleNamespace(is_executing=False))
    assert ship(tmp_path) == ["docker load"]
    pulled = shipping.pull._inner(image=IMAGE, cache=str(tmp_path), used_by=USED_BY, registry=REGISTRY)
    assert list(pulled) == ["docker pull"] and target.asked == [] and list(tmp_path.iterdir()) == []


def test_what_is_there_is_only_noted_as_still_named(target: Target, tmp_path: Path) -> None:
    kept = tmp_path / f"{stem(IMAGE, GIVEN)}.tar.gz"
    kept.touch()
    os.utime(kept, (1, 1))
    target.there = True
    assert ship(tmp_path) == [] and target.noops == [f"{IMAGE.tag} is there"] and target.asked == []
    assert kept.stat().st_mtime > 1


def test_an_archive_is_sent_to_a_folder_of_roots_and_taken_in_by_a_step(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").write_bytes(b"image")
    orders: list[Order] = []

    def archive(cache: str, order: Order) -> Archive:
        work = tmp_path / "work"
        work.mkdir(mode=0o700)
        monkeypatch.setattr(workshop, "unpack", lambda packed, sha256, folder: orders.append(order))
        order.fetch(work)
        assert (work / "host.tar.gz").read_bytes() == b"logins"
        assert (work / "host.tar.gz").stat().st_mode & 0o777 == 0o600
        assert (work / "tree.tar.gz").read_bytes() == b"packed"
        return Archive(tmp_path / "archive", "3" * 64)

    monkeypatch.setattr(workshop, "archive", archive)
    prepare, upload, *step = ship(tmp_path)
    assert orders[0].given == GIVEN
    file = f"{FOLDER}/{stem(IMAGE, GIVEN)}.tar.gz"
    assert f"install -d -m 0700 {FOLDER}" in prepare and " begin " in prepare
    assert (upload.dest, upload.remote_temp_filename) == (file, f"/tmp/{len(file)}")
    sent = str(step[0].connector_arguments["_stdin"])
    assert "--unit=portcullis-step-image-portcullis-thing-1-" in str(step[0].get_raw_value())
    assert "3" * 64 in sent and f"docker tag {arrival(IMAGE, GIVEN)} {IMAGE.tag}" in sent
    # As root, like everything else; and shown to nobody, whatever pyinfra is told to show.
    assert all(options["_sudo"] is True and "name" not in options for options in target.options)
    assert all(options["print_output"] is False for options in target.options if "print_output" in options)
    assert target.asked[-1] == f"rm -f {FOLDER}/thing-tree.tar.gz"


def test_a_build_that_fails_ends_this_host_with_its_reason(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, why in (
        (WorkshopError("building it failed:\nno"), "building it failed:\nno"),
        (OSError(28, "No space left"), "the controlling machine could not build it: [Errno 28] No space left"),
    ):
        monkeypatch.setattr(workshop, "archive", Mock(side_effect=error))
        (only,) = ship(tmp_path)
        assert str(only.get_raw_value()) == f"echo '{why}' >&2; exit 1"


def test_a_registrys_password_is_on_standard_input_only(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = f"registry.example.org/own/portcullis-thing@sha256:{'2' * 64}"
    monkeypatch.setattr(workshop, "pushed", lambda cache, registry, order: reference)
    given = {"registry": REGISTRY, "user": "puller", "password": SecretStr("Secret-word")}
    login, *step = shipping.pull._inner(image=IMAGE, cache=str(tmp_path), used_by=USED_BY, **given)
    assert login.connector_arguments["_stdin"] == "Secret-word"
    shown = [repr(given), *(f"{one!r} {one} {getattr(one, 'connector_arguments', '')}" for one in step)]
    assert "Secret-word" not in "".join([*shown, f"{login!r} {login} {login.get_raw_value()}"])
    assert reference in str(step[0].connector_arguments["_stdin"])
    without = list(shipping.pull._inner(image=IMAGE, cache=str(tmp_path), used_by=USED_BY, registry=REGISTRY))
    assert len(without) == len(step)


def test_what_is_sent_is_said_from_time_to_time(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(shipping.logger, "info", said.append)
    monkeypatch.setattr(shipping, "SHOW_SECONDS", 0.0)
    (tmp_path / "archive").write_bytes(b"x" * 3_000_000)
    with shipping.Sent(tmp_path / "archive") as file:
        assert b"".join(iter(lambda: file.read(1_000_000), b"")) == b"x" * 3_000_000
    assert said == [f"[host] {number} of 3 MB sent" for number in range(4)]


def test_clearing_away_changes_no_host(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned: list[tuple[str, int]] = []
    monkeypatch.setattr(image_cache, "prune", lambda cache, days: pruned.append((cache, days)) or [])
    for executing in (False, True):
        monkeypatch.setattr(shipping, "state", SimpleNamespace(is_executing=executing))
        assert list(shipping.forget._inner(cache="x", days=7)) == []
    assert pruned == [("x", 7)], "a plan removes nothing"
