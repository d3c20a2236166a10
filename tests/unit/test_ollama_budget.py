"""Models that do not fit: refused by the sizes the settings state, else by those the host learns before a change."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.components.ollama import OLLAMA
from deploys.lib.settings import SettingsError
from tests.unit import site


def refusal(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    (problem,) = caught.value.problems
    return problem.removeprefix("gateway.example.org: ")


def test_only_the_largest_that_may_be_loaded_count() -> None:
    sizes = {"llama3.2:3b": 3000 * 2**20, "nomic-embed-text": 800 * 2**20}
    assert "= 4,948 MiB" in refusal(ollama_models_size_bytes=sizes)
    assert site.single(ollama_models_size_bytes=sizes, ollama_max_loaded_models=1)
    assert "448 context" in refusal(ollama_models_size_bytes=sizes)
    halved = refusal(ollama_models_size_bytes=sizes, ollama_kv_cache_type="q8_0", ollama_num_parallel=4)
    assert "896 context" in halved, "half the bytes, four requests at once"


def test_looking_at_the_settings_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry behind a firewall that swallows packets cost five seconds per model on every run."""

    def connect(*arguments: object) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    assert site.single(ollama_models_size_bytes={})


MANIFEST = {"schemaVersion": 2, "config": {"mediaType": "x", "size": 487}, "layers": [{"size": 7}]}
CURL = """#!/bin/sh
for last; do :; done
case $last in
    */api/tags) cat {folder}/tags 2>/dev/null || exit 7 ;;
    */manifests/*) echo "$last" >>{folder}/asked; cat {folder}/manifest 2>/dev/null || exit 22 ;;
esac
"""


def budget(
    folder: Path, gib: float | None = None, present: dict[str, float] | None = None, **data: Any
) -> tuple[int, str]:
    """The refusal on a host: the registry says ``gib`` of every model, and Ollama has some ``present`` already."""
    for name in ("tags", "manifest", "asked"):
        (folder / name).unlink(missing_ok=True)
    (folder / "curl").write_text(CURL.format(folder=folder))
    (folder / "curl").chmod(0o755)
    if gib is not None:
        manifest = {**MANIFEST, "layers": [{"mediaType": "m", "size": int(gib * 2**30) - 9}, {"size": 9}]}
        (folder / "manifest").write_text(json.dumps(manifest, indent=2))
    if present is not None:
        entry = {"model": "x", "modified_at": "t"}
        models = [{"name": name, **entry, "size": int(size * 2**30), "digest": "d"} for name, size in present.items()]
        (folder / "tags").write_text(json.dumps({"models": models}))
    (probe,) = OLLAMA.refusals(site.single(**{"ollama_models_size_bytes": {}, **data}))
    command = probe.command.replace("/etc/environment", f"{folder}/environment")
    command = command.replace("/usr/lib/apt/apt-helper", f"{folder}/apt-helper")
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert not done.stderr
    return done.returncode, done.stdout.strip()


def test_models_that_fit_by_the_registrys_word_pass(tmp_path: Path) -> None:
    assert budget(tmp_path, 1) == (0, "")
    assert (tmp_path / "asked").read_text().splitlines() == [
        "https://registry.ollama.ai/v2/library/llama3.2/manifests/3b",
        "https://registry.ollama.ai/v2/library/nomic-embed-text/manifests/latest",
    ]


def test_a_model_too_big_is_refused_by_the_host_before_anything_changes(tmp_path: Path) -> None:
    status, said = budget(tmp_path, 3, present={"nomic-embed-text:latest": 0.25})
    assert (status, said) == (
        1,
        "ollama_models: llama3.2:3b: 3072 weights + 448 context + 350 overhead; nomic-embed-text: 256 weights + "
        "350 overhead = 4476 MiB, but Ollama's share of the host is 4,137 MiB; choose a smaller model, or lower "
        "ollama_context_length or ollama_max_loaded_models",
    )
    assert len((tmp_path / "asked").read_text().splitlines()) == 1, "one of them is there already"
    small = {"ollama_models_size_bytes": {"nomic-embed-text": 2**28}}
    assert budget(tmp_path, 40, **small)[1].startswith("ollama_models: llama3.2:3b: 40960 weights + 448 context")
    assert budget(tmp_path, 3, ollama_max_loaded_models=1) == (0, "")


def test_the_host_does_the_same_sum_as_the_settings(tmp_path: Path) -> None:
    sizes = {"llama3.2:3b": 3 * 2**30, "nomic-embed-text": 2**30}
    here = budget(tmp_path, present={"llama3.2:3b": 3, "nomic-embed-text:latest": 1})[1]
    assert here == refusal(ollama_models_size_bytes=sizes).replace("3,072", "3072").replace("1,024", "1024").replace(
        "5,244", "5244"
    )


def test_models_that_are_there_need_no_registry(tmp_path: Path) -> None:
    assert budget(tmp_path, present={"llama3.2:3b": 1, "nomic-embed-text:latest": 0.25}) == (0, "")
    assert OLLAMA.refusals(site.single()) == [], "nothing is asked when the settings have every size"


def test_a_registry_out_of_reach_is_said_before_anything_changes(tmp_path: Path) -> None:
    status, said = budget(tmp_path, present={"llama3.2:3b": 1})
    assert status == 1
    assert said.startswith(
        "ollama_models: the size of nomic-embed-text cannot be asked at "
        "https://registry.ollama.ai/v2/library/nomic-embed-text/manifests/latest: there is no such model, or the host"
    )


def test_a_bare_host_without_curl_asks_with_apts_downloader(tmp_path: Path) -> None:
    (tmp_path / "apt-helper").write_text(f"#!/bin/sh\n[ $1 = download-file ] || exit 1\ncat {tmp_path}/manifest >$3\n")
    (tmp_path / "apt-helper").chmod(0o755)
    (probe,) = OLLAMA.refusals(site.single(ollama_models_size_bytes={}))
    command = probe.command.replace("curl", "no-curl").replace("/usr/lib/apt/apt-helper", f"{tmp_path}/apt-helper")
    (tmp_path / "manifest").write_text(json.dumps({**MANIFEST, "layers": [{"size": 40 * 2**30}]}))
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1 and "40960 weights" in done.stdout
    (tmp_path / "apt-helper").write_text("#!/bin/sh\nexit 1\n")
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), "without certificates it cannot ask yet; the pull asks again"
