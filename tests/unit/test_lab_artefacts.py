"""What the lab's mirror serves, as far as it needs neither a compiler nor Docker."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.lab.artefacts import llama_server, ollama, prisma_engines, tiny_model


def test_tiny_model_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny_model.write(tmp_path / name)
    data = (tmp_path / "a").read_bytes()
    assert data[:4] == b"GGUF"
    assert data == (tmp_path / "b").read_bytes()


def test_registry_blobs_are_what_the_manifests_say(tmp_path: Path) -> None:
    ollama.write_models(tmp_path)
    for name in ("tiny", "tiny-embed"):
        model = tmp_path / "v2/library" / name
        manifest = json.loads((model / "manifests/latest").read_text())
        for entry in [*manifest["layers"], manifest["config"]]:
            data = (model / "blobs" / entry["digest"]).read_bytes()
            assert (ollama.digest(data), len(data)) == (entry["digest"], entry["size"])


def test_huge_model_is_a_claim_only(tmp_path: Path) -> None:
    ollama.write_models(tmp_path)
    model = tmp_path / "v2/library/huge"
    (layer,) = json.loads((model / "manifests/latest").read_text())["layers"]
    assert layer["size"] == 40_000_000_000
    assert not (model / "blobs" / layer["digest"]).exists()


def test_release_has_the_official_layout_and_its_checksum(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_bytes(b"server")
    ollama.write_release(tmp_path, "0.35.1", server)
    archive = tmp_path / "ollama/ollama/releases/download/v0.35.1/ollama-linux-amd64.tar.zst"
    sums = (archive.parent / "sha256sum.txt").read_text()
    assert sums == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  ./{archive.name}\n"
    plain = tmp_path / "plain.tar"
    plain.write_bytes(zstandard.decompress(archive.read_bytes()))
    with tarfile.open(plain) as tar:
        modes = {member.name: member.mode for member in tar}
    assert modes["bin/ollama"] == modes["lib/ollama/llama-server"] == 0o755
    assert "lib/ollama/libstandin-0.35.1.so" in modes
    broken = tmp_path / "broken" / archive.relative_to(tmp_path)
    assert broken.read_bytes() != archive.read_bytes()


def test_packed_standin_runs_and_reports_the_release(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_bytes(ollama.standin_program())
    (tmp_path / "lib/ollama").mkdir(parents=True)
    (tmp_path / "lib/ollama/STANDIN_VERSION").write_text("0.35.1\n")
    # A port nothing listens on: the program then speaks for itself.
    environment = {"OLLAMA_HOST": "127.0.0.1:1", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, program, "--version"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "client version is 0.35.1" in done.stdout
    assert ollama.standin_program() == program.read_bytes()


def test_engines_lie_where_prisma_looks_with_checksums_of_both_forms(tmp_path: Path) -> None:
    for name in prisma_engines.NAMES:
        (tmp_path / name).write_text(f"#!{name}")
    root = tmp_path / "mirror"
    prisma_engines.write(root, tmp_path)
    folder = root / "all_commits" / "ac9d7041ed77bcc8a8dbd2ab6616b39013829574" / "debian-openssl-3.0.x"
    for name in prisma_engines.NAMES:
        packed = (folder / f"{name}.gz").read_bytes()
        assert (folder / f"{name}.gz.sha256").read_text().split()[0] == hashlib.sha256(packed).hexdigest()
        plain = gzip.decompress(packed)
        assert (folder / f"{name}.sha256").read_text().split()[0] == hashlib.sha256(plain).hexdigest()
    assert len(list(root.glob("all_commits/*/*"))) == len(prisma_engines.PLATFORMS)


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((prisma_engines.SOURCE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("integrity" in entry for entry in packages.values())
    assert not [name for name, entry in packages.items() if "resolved" in entry]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[12/206] Building CXX object common/CMakeFiles/llama-common.dir/arg.cpp.o\n", "[12/206] arg.cpp"),
        ("[206/206] Linking CXX executable bin/llama-server\n", "[206/206] llama-server"),
        ("warning: something\n", None),
    ],
)
def test_compiler_output_is_summarised(line: str, shown: str | None) -> None:
    assert llama_server._ninja_line(line) == shown
