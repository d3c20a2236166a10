"""Images that are built elsewhere: what a host is asked and does for them, with an engine that only writes down."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from deploys.lib import image_cache, workshop
from deploys.lib import shipping as text
from deploys.lib.images import Image
from deploys.lib.shipping import Inputs, arrival, stem
from deploys.lib.workshop import Order, WorkshopError
from tests.unit.test_image_scripts import Host
from tests.unit.test_images import lint

IMAGE = Image("thing", "1", "FROM x\n", arguments=(("VERSION", "cat version 2>/dev/null"),))
GIVEN = Inputs("amd64", (("VERSION", "1.2-3"),), ())
USED_BY = "/etc/portcullis/compose/thing.yaml"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    (tmp_path / "version").write_text("1.2-3\n")
    (tmp_path / "bin" / "dpkg").write_text("#!/bin/sh\necho amd64\n")
    (tmp_path / "bin" / "dpkg").chmod(0o755)
    return made


def test_a_host_is_asked_for_what_makes_its_image_different_from_anothers(host: Host) -> None:
    tree = host.folder / "opt" / "tree"
    tree.mkdir(parents=True)
    (tree / "file").write_text("one")
    image = Image("thing", "1", "FROM x\n", contexts=(("tree", "/opt/tree"),), arguments=IMAGE.arguments)
    asked = host.run(text.question(image)).stdout.splitlines()
    given = text.inputs(asked)
    assert (given.architecture, given.values) == ("amd64", (("VERSION", "1.2-3"),)) and given.folders[0][0] == "tree"
    names = {stem(image, given)}
    assert host.run(text.question(image)).stdout.splitlines() == asked
    (tree / "file").write_text("two")
    names.add(stem(image, text.inputs(host.run(text.question(image)).stdout.splitlines())))
    (host.folder / "version").write_text("1.2-4\n")
    names.add(stem(image, text.inputs(host.run(text.question(image)).stdout.splitlines())))
    names.add(stem(image, Inputs("arm64", given.values, given.folders)))
    assert len(names) == 4 and all(name.startswith(image.tag.replace(":", "-") + "-") for name in names)
    (host.folder / "version").unlink()
    done = host.run(text.question(image))
    assert done.returncode == 1 and "thing: the host has nothing to say for VERSION: cat version" in done.stdout


def test_a_folder_of_the_host_is_unpacked_as_it_is_there_or_not_at_all(host: Host) -> None:
    tree, packed = host.folder / "opt" / "tree", host.folder / "var" / "lib" / "portcullis" / "shipped" / "tree.tar.gz"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "program").write_text("text")
    (tree / "bin" / "program").chmod(0o755)
    image = Image("thing", "1", "FROM x\n", contexts=(("tree", "/opt/tree"),))
    ((_, digest),) = text.inputs(host.run(text.question(image)).stdout.splitlines()).folders
    assert host.run(text.pack("/opt/tree", f"{text.FOLDER}/tree.tar.gz")).returncode == 0
    assert packed.parent.stat().st_mode & 0o777 == 0o700
    workshop.unpack(packed, digest, host.folder / "folders" / "tree")
    assert (host.folder / "folders" / "tree" / "bin" / "program").stat().st_mode & 0o777 == 0o755
    whole = packed.read_bytes()
    for broken in (whole[:-20], b"", gzip.compress(gzip.decompress(whole) + b"\0")):
        packed.write_bytes(broken)
        with pytest.raises(WorkshopError, match="the host's folder for other changed while it was fetched"):
            workshop.unpack(packed, digest, host.folder / "folders" / "other")
    assert not (host.folder / "folders" / "other").exists()


def test_what_the_host_gathers_is_printed_and_leaves_nothing(host: Host) -> None:
    (host.folder / "run").mkdir()
    command = text.gathered().replace('sh "$work/gather.sh" "$work" >', 'printf login >"$work/host.tar.gz"; true >')
    done = host.run(command)
    assert base64.b64decode(done.stdout) == b"login" and list((host.folder / "run").iterdir()) == []
    failed = host.run(text.gathered().replace('sh "$work/gather.sh" "$work" >', "{ echo too large; false; } >"))
    assert failed.returncode == 1 and failed.stdout == "too large\n" and list((host.folder / "run").iterdir()) == []


def arrived(host: Host, content: bytes) -> str:
    """An archive on the host, and a script that takes in the one that was sent."""
    folder = host.folder / "var" / "lib" / "portcullis" / "shipped"
    folder.mkdir(parents=True)
    (folder / f"{stem(IMAGE, GIVEN)}.tar.gz").write_bytes(content)
    (host.folder / "sent").write_bytes(b"image")
    return text.load_script(IMAGE, GIVEN, image_cache.digest_of(host.folder / "sent"), USED_BY)


def test_what_arrives_whole_gets_its_name_and_makes_what_names_it_newer(host: Host) -> None:
    compose = Path(f"{host.folder}{USED_BY}")
    compose.parent.mkdir(parents=True)
    compose.write_text(f"image: {IMAGE.tag}\n")
    before = compose.stat().st_mtime_ns
    done = host.run(arrived(host, b"image"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"loading {IMAGE.tag}", f"loaded {IMAGE.tag}"]
    here = arrival(IMAGE, GIVEN)
    assert [call.partition(" --input")[0] for call in host.calls()] == [
        "load --quiet", f"tag {here} {IMAGE.tag}", f"image rm {here}"
    ]  # fmt: skip
    assert compose.stat().st_mtime_ns > before
    assert Path(f"{host.folder}{IMAGE.folder}/Dockerfile").read_text() == "FROM x\n"
    assert list((host.folder / "var" / "lib" / "portcullis" / "shipped").iterdir()) == []


def test_what_is_not_what_was_sent_is_not_looked_at(host: Host) -> None:
    done = host.run(arrived(host, b"imag"))
    assert done.returncode == 1 and f"what arrived of {IMAGE.tag} is not what was sent" in done.stdout
    assert host.calls() == [] and list((host.folder / "var" / "lib" / "portcullis" / "shipped").iterdir()) == []


def test_an_image_is_fetched_by_its_digest_with_a_login_that_goes(host: Host) -> None:
    reference = f"registry.example.org/own/portcullis-thing@sha256:{'2' * 64}"
    login = text.login("registry.example.org/own", "puller")
    assert host.run(login).returncode == 0
    place = host.folder / "run" / "portcullis-login"
    assert place.stat().st_mode & 0o777 == 0o700
    assert host.run(text.pull_script(IMAGE, reference, USED_BY)).returncode == 0
    assert not place.exists()
    login_call, *calls = host.calls()
    assert login_call == "login --username puller --password-stdin registry.example.org"
    assert calls == [f"pull --quiet {reference}", f"tag {reference} {IMAGE.tag}", f"image rm {reference}"]
    host.answer("login", "unauthorized\n", status=1)
    done = host.run(login)
    assert done.returncode == 1 and "does not take the login: unauthorized" in done.stderr and not place.exists()
    host.answer("pull", "no such manifest\n", status=1)
    done = host.run(text.pull_script(IMAGE, reference, USED_BY))
    assert done.stdout.endswith(f"{IMAGE.tag} cannot be had from the registry: no such manifest\n")
    assert done.returncode == 1 and not [call for call in host.calls()[5:] if call.startswith("tag")]


def test_shellcheck_finds_nothing_wrong_on_either_machine() -> None:
    image = Image("thing", "1", "FROM x\n", contexts=(("tree", "/opt/tree"),), arguments=IMAGE.arguments)
    order = Order(image, GIVEN, print, print)
    texts = (
        text.question(image),
        text.gathered(),
        text.pack("/opt/tree", f"{text.FOLDER}/tree.tar.gz"),
        text.load_script(image, GIVEN, "0" * 64, USED_BY),
        text.login("registry.example.org/own", "o'puller"),
        text.pull_script(image, "r@sha256:0", USED_BY),
        workshop.script(order, Path("/srv/it's here"), "portcullis-thing:1", "true\n"),
    )
    for one in texts:
        assert lint("shellcheck", one + "\n", "-s", "sh", "-S", "warning") == ""
