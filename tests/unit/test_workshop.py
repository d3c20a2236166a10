"""Images on the controlling machine, built with an engine that only writes down: each once, kept, and cleared away."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from deploys.lib import image_cache, workshop
from deploys.lib.images import Image
from deploys.lib.shipping import Inputs, arrival, stem
from deploys.lib.workshop import Order, Registry, WorkshopError
from tests.local_server import serving

IMAGE = Image(
    "thing",
    "1",
    f"FROM base@sha256:{'0' * 64}\nARG VERSION\n",
    contexts=(("tree", "/srv/tree"),),
    arguments=(("VERSION", "cat version"),),
)
GIVEN = Inputs("amd64", (("VERSION", "1.2 $(id)"),), (("tree", "1" * 64),))
NAME, TAG = stem(IMAGE, GIVEN), arrival(IMAGE, GIVEN)
DIGEST = f"sha256:{'2' * 64}"
DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >>{folder}/calls
case "$1 $2" in
"version "*) cat {folder}/version 2>/dev/null || echo "26.1.5 amd64" ;;
"buildx version") exit "$(cat {folder}/buildx 2>/dev/null || echo 0)" ;;
"buildx build")
    stat -c %a {cache}/*.work {cache}/*.work/host.tar.gz >{folder}/modes
    sleep "$(cat {folder}/takes 2>/dev/null || echo 0)"
    echo "#1 [1/2] FROM base"; echo "#2 0.5 E: no such package"; echo "#2 ERROR: it failed"
    [ ! -e {folder}/fails ] || {{ printf '%s\\n' ------ ' > [2/2] RUN x:' '0.5 E: no such package' ------; exit 1; }} ;;
"save "*) echo "an image" ;;
"push "*) echo "latest: digest: {digest} size: 1234" ;;
esac
"""


class Machine:
    """A controlling machine: a folder of images, a docker that writes its arguments down, and what a host gives."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"
        (folder / "bin").mkdir()
        self.cache.mkdir(mode=0o700)
        docker = folder / "bin" / "docker"
        docker.write_text(DOCKER.format(folder=folder, cache=self.cache, digest=DIGEST))
        docker.chmod(0o755)
        self.said: list[str] = []
        self.fetched = 0

    def fetch(self, work: Path) -> None:
        self.fetched += 1
        (work / "host.tar.gz").touch(mode=0o600)

    def order(self, given: Inputs = GIVEN) -> Order:
        return Order(IMAGE, given, self.fetch, self.said.append)

    def archive(self, given: Inputs = GIVEN) -> workshop.Archive:
        return workshop.archive(str(self.cache), self.order(given))

    def calls(self, word: str) -> list[str]:
        path = self.folder / "calls"
        return [line for line in path.read_text().splitlines() if line.startswith(word)] if path.is_file() else []

    def left(self) -> set[str]:
        return {path.name for path in self.cache.iterdir()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Machine(tmp_path)


def test_an_image_is_built_packed_and_forgotten_by_the_engine(machine: Machine) -> None:
    made = machine.archive()
    assert made.path == machine.cache / f"{NAME}.tar.gz" and made.path.stat().st_mode & 0o777 == 0o600
    assert gzip.decompress(made.path.read_bytes()) == b"an image\n" and made.sha256 == image_cache.digest_of(made.path)
    (build,) = machine.calls("buildx build")
    assert f"--build-context tree={machine.cache}/{NAME}.work/folders/tree" in build
    # As `present` will ask for it on the host; nothing of it is read by a shell.
    assert "--build-arg VERSION=1.2 $(id) --label portcullis.host=on VERSION=1.2 $(id) " in build
    assert f"--tag {TAG} " in build and TAG.startswith(f"{IMAGE.tag}-")
    assert machine.calls("image rm") == [f"image rm {TAG}"] and machine.calls("builder") == []
    # Logins were there, for nobody else, and are gone.
    assert (machine.folder / "modes").read_text().split() == ["700", "600"]
    assert machine.left() == {f"{NAME}.tar.gz", f"{NAME}.json", f"{NAME}.lock"}


def test_what_is_kept_is_not_built_again_unless_it_is_not_whole(machine: Machine) -> None:
    first = machine.archive()
    assert machine.archive() == first and len(machine.calls("buildx build")) == machine.fetched == 1
    first.path.write_bytes(first.path.read_bytes()[:-1])
    assert machine.archive().path == first.path and machine.fetched == 2
    (machine.cache / f"{NAME}.json").unlink()
    machine.archive()
    assert machine.fetched == 3


def test_hosts_that_need_the_same_image_have_it_built_once_and_others_do_not_wait(machine: Machine) -> None:
    (machine.folder / "takes").write_text("1")
    other = Inputs("amd64", (("VERSION", "2"),), GIVEN.folders)
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(machine.archive, [GIVEN, GIVEN, other]))
    assert made[0] == made[1] and made[2].path != made[0].path
    assert len(machine.calls("buildx build")) == machine.fetched == 2
    assert "the same image is being built for another host" in machine.said


def test_a_build_that_fails_says_why_and_leaves_only_its_log(machine: Machine) -> None:
    (machine.folder / "fails").touch()
    with pytest.raises(WorkshopError) as caught:
        machine.archive()
    said = str(caught.value).splitlines()
    log = machine.cache / f"{NAME}.log"
    assert said[0] == f"{log} on the controlling machine has the whole log, which ends so:"
    # The ledger keeps the last line.
    assert said[-2:] == [f"building {TAG} failed:", "E: no such package"]
    assert machine.left() == {log.name, f"{NAME}.lock"} and machine.calls("save") == []
    (machine.folder / "fails").unlink()
    machine.archive()
    assert not log.exists()


def test_what_a_host_cannot_give_builds_nothing(machine: Machine) -> None:
    def fails(work: Path) -> None:
        raise WorkshopError("the host does not answer")

    with pytest.raises(WorkshopError, match="the host does not answer"):
        workshop.archive(str(machine.cache), Order(IMAGE, GIVEN, fails, machine.said.append))
    assert machine.left() == {f"{NAME}.lock"} and machine.calls("") == []


class Shelf(BaseHTTPRequestHandler):
    """A registry that has what `has` says."""

    has: ClassVar[set[str]] = set()

    def do_HEAD(self) -> None:
        """A manifest, by its digest."""
        self.send_response(200 if self.path in self.has else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def shelf() -> Iterator[str]:
    Shelf.has = set()
    with serving(Shelf) as address:
        yield address


def test_an_image_is_pushed_once_as_long_as_the_registry_has_it(machine: Machine, shelf: str) -> None:
    registry = Registry(f"{shelf}/own", (shelf,))

    def pushed(registry: Registry = registry) -> str:
        return workshop.pushed(str(machine.cache), registry, machine.order())

    reference = f"{shelf}/own/portcullis-thing@{DIGEST}"
    assert pushed() == reference
    tag = f"{shelf}/own/{TAG}"
    assert machine.calls("push") == [f"push {tag}"] and machine.calls("image rm") == [f"image rm {tag}"]
    assert pushed() == reference and len(machine.calls("push")) == 2, "somebody has removed it there"
    Shelf.has = {f"/v2/own/portcullis-thing/manifests/{DIGEST}"}
    assert pushed() == reference and len(machine.calls("push")) == 2
    pushed(Registry(f"{shelf}/other", (shelf,)))
    assert machine.calls("push")[-1] == f"push {shelf}/other/{TAG}"


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({}, ""),
        ({"architecture": "arm64"}, "the Docker engine of this machine builds for amd64, and the host is arm64"),
        (
            {"version": "20.10.24+dfsg1 amd64"},
            "the Docker engine of this machine is 20.10.24+dfsg1, and 23.0 is needed",
        ),
        ({"buildx": "1"}, "there is no docker buildx on this machine, which is to build the images"),
    ],
    ids=["able", "architecture", "old", "buildx"],
)
def test_a_machine_that_cannot_build_says_so_in_a_sentence(machine: Machine, about: dict[str, str], why: str) -> None:
    architecture = about.pop("architecture", "amd64")
    for name, text in about.items():
        (machine.folder / name).write_text(text)
    assert workshop.unable(str(machine.cache), architecture) == why


def test_an_engine_that_is_not_there_or_does_not_answer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = machine.folder / "bin" / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    assert workshop.unable(str(machine.cache), "amd64") == (
        "the Docker engine of this machine does not answer: Cannot connect to the Docker daemon"
    )
    monkeypatch.setenv("PATH", str(machine.cache))
    assert workshop.unable(str(machine.cache), "amd64").startswith("there is no docker on this machine")


def test_a_folder_that_cannot_be_used_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.cache.chmod(0o755)
    why = image_cache.unusable(str(machine.cache))
    assert why.endswith(f"(engine_images_cache) is open to others (mode 0755); run: chmod 700 {machine.cache}")
    (machine.folder / "file").touch()
    assert "file (engine_images_cache) cannot be written: " in image_cache.unusable(f"{machine.folder}/file")
    machine.cache.chmod(0o700)
    monkeypatch.setattr(image_cache, "NEEDED_MB", 10**9)
    assert " MiB left, and a build takes 1,000,000,000" in image_cache.unusable(str(machine.cache))
    monkeypatch.undo()
    new = machine.folder / "a" / "new"
    assert image_cache.unusable(str(new)) == "" and new.stat().st_mode & 0o777 == 0o700 and not list(new.iterdir())


def test_what_no_run_has_named_for_long_goes_and_what_one_names_stays(machine: Machine) -> None:
    machine.archive()
    long_ago = time.time() - 40 * 86400
    others = [machine.cache / f"portcullis-old-1-00000000-{number:012}.tar.gz" for number in range(2)]
    killed = machine.cache / "portcullis-old-1-00000000-000000000000.work"
    killed.mkdir()
    for path in (*others, machine.cache / f"{NAME}.tar.gz", killed, machine.folder / "bin"):
        path.touch() if path.suffix == ".gz" else None
        os.utime(path, (long_ago, long_ago))
    others[1].touch()
    image_cache.keep(str(machine.cache), IMAGE.tag)
    assert image_cache.prune(str(machine.cache), 30) == [others[0].name]
    assert machine.left() == {f"{NAME}.tar.gz", f"{NAME}.json", f"{NAME}.lock", others[1].name}
