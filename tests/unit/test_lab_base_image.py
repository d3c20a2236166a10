"""The base image of the lab: the same tree is the same image, and the mirror serves it as a registry would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.lab import images, inventory
from tests.lab.artefacts import base_image
from tests.lab.cache import LabError
from tests.lab.image import mirror_server
from tests.local_server import serving


class Quiet(mirror_server.Artefacts):
    """The artefacts without an access log."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    texts = {"usr/bin/tool": "1", "usr/share/doc/tool/README": "2", "var/log/install": "3", "etc/machine-id": "4"}
    for name, text in {**texts, "usr/lib/p/__pycache__/m.pyc": "5", "var/cache/apt/list": "6"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "usr/bin/tool").chmod(0o4755)
    (root / "tmp").mkdir()
    (root / "bin").symlink_to("usr/bin")
    os.link(root / "usr/bin/tool", root / "usr/bin/twin")
    return root


def layer(target: Path, digest: str) -> dict[str, tarfile.TarInfo]:
    manifest = json.loads((target / "blobs" / digest).read_text())
    (entry,) = manifest["layers"]
    plain = gzip.decompress((target / "blobs" / entry["digest"]).read_bytes())
    config = json.loads((target / "blobs" / manifest["config"]["digest"]).read_text())
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        return {entry.name: entry for entry in archive}


def test_every_blob_is_named_by_its_content_and_the_manifest_says_its_size(tree: Path, tmp_path: Path) -> None:
    digest = base_image.write(tmp_path / "image", tree)
    blobs = {path.name: path.read_bytes() for path in (tmp_path / "image/blobs").iterdir()}
    assert {f"sha256:{hashlib.sha256(data).hexdigest()}" for data in blobs.values()} == set(blobs)
    manifest = json.loads(blobs[digest])
    for entry in (manifest["config"], *manifest["layers"]):
        assert len(blobs[entry["digest"]]) == entry["size"]
    assert set(blobs) == {digest, *(entry["digest"] for entry in (manifest["config"], *manifest["layers"]))}


def test_the_same_tree_built_later_is_the_same_image(tree: Path, tmp_path: Path) -> None:
    first = base_image.write(tmp_path / "a", tree)
    os.utime(tree / "usr/bin/tool", (base_image.CLOCK + 9, base_image.CLOCK + 9))
    (tree / "var/log/install").write_text("another time")
    assert base_image.write(tmp_path / "b", tree) == first
    (tree / "usr/bin/tool").write_text("another tool")
    assert base_image.write(tmp_path / "c", tree) != first


def test_what_is_only_to_read_or_of_this_machine_is_left_out_and_folders_stay(tree: Path, tmp_path: Path) -> None:
    found = layer(tmp_path / "image", base_image.write(tmp_path / "image", tree))
    assert {"usr/share/doc", "var/log", "var/cache", "tmp", "bin", "usr/bin/tool", "usr/bin/twin"} <= set(found)
    left = {name for name in found if name.startswith(("usr/share/doc/", "var/log/", "var/cache/", "etc/machine"))}
    assert not left and not [name for name in found if "__pycache__" in name]
    assert found["usr/bin/tool"].mode == 0o4755 and found["bin"].issym()
    assert found["usr/bin/twin"].islnk(), "a second name of a file is not a second copy"


def test_a_suites_image_has_the_newer_packages_too(tmp_path: Path) -> None:
    sources = tmp_path / "sources.list"
    sources.write_text("deb http://mirror.example.org/debian trixie main\n")
    base_image._complete_sources("trixie", sources)
    assert sources.read_text().splitlines() == [
        "deb http://mirror.example.org/debian trixie main",
        "deb http://mirror.example.org/debian trixie-updates main",
        "deb http://mirror.example.org/debian-security trixie-security main",
    ]


@pytest.fixture
def registry(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The address of a mirror with an image, and the image's digest; and beside it one that is being built."""
    folder = tmp_path / "images"
    digest = base_image.write(folder / "trixie-1", tree)
    (folder / "trixie-2.partial/blobs").mkdir(parents=True)
    (folder / "trixie-2.partial/blobs" / f"sha256:{'0' * 64}").write_text("half")
    monkeypatch.setattr(mirror_server, "IMAGES", folder)
    (tmp_path / "artefacts/v2/library/tiny/manifests").mkdir(parents=True)
    (tmp_path / "artefacts/v2/library/tiny/manifests/latest").write_text("{}")
    with serving(partial(Quiet, directory=str(tmp_path / "artefacts"))) as address:
        yield f"http://{address}", digest


def ask(url: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, method=method), timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), b""


def test_the_mirror_serves_it_by_digest_as_a_registry_does(registry: tuple[str, str]) -> None:
    address, digest = registry
    base = f"{address}/v2/{base_image.NAME}"
    assert ask(f"{address}/v2/")[:1] == (200,)
    for method in ("HEAD", "GET"):
        status, headers, _ = ask(f"{base}/manifests/{digest}", method)
        assert (status, headers["Docker-Content-Digest"]) == (200, digest)
        assert headers["Content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.loads(ask(f"{base}/manifests/{digest}")[2])
    for entry in (manifest["config"], *manifest["layers"]):
        status, headers, data = ask(f"{base}/blobs/{entry['digest']}")
        assert (status, len(data)) == (200, entry["size"])
        assert headers["Content-type"] == "application/octet-stream"


@pytest.mark.parametrize("name", ["latest", f"sha256:{'0' * 64}", f"sha256:{'f' * 64}", "../../../../etc/passwd"])
def test_tags_half_built_and_unknown_images_are_not_there(registry: tuple[str, str], name: str) -> None:
    assert ask(f"{registry[0]}/v2/{base_image.NAME}/manifests/{name}")[0] == 404


def test_models_are_still_plain_files(registry: tuple[str, str]) -> None:
    assert ask(f"{registry[0]}/v2/library/tiny/manifests/latest")[::2] == (200, b"{}")


def test_each_suite_has_a_key_of_its_own_and_others_are_refused() -> None:
    assert len({base_image.key(suite) for suite in images.SUITES}) == 2
    with pytest.raises(LabError, match="suite 'sid' is not one of"):
        base_image.key("sid")


def test_the_inventory_names_the_image_of_the_suite_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = f"sha256:{'1' * 64}"
    monkeypatch.setattr(base_image, "digest", lambda suite: digest if suite == "trixie" else "")
    assert inventory._images("192.0.2.2:8080", "trixie") == {
        "engine_base_image": f"192.0.2.2:8080/portcullis/base@{digest}",
        "engine_insecure_registries": ["192.0.2.2:8080"],
    }
    assert inventory._images("192.0.2.2:8080", "bookworm") == {}, "the product's own default"
