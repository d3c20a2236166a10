"""What is held against the hosts themselves: the memory they have, their ports, and words that pyinfra would ignore."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.arguments import all_argument_meta

from deploys.facts import Hardware
from deploys.lib.settings import SettingsError
from deploys.lib.sizing import Machine
from deploys.lib.survey import HostData
from tests.unit import site


def problems(*hosts: HostData, **data: Any) -> list[str]:
    """What is said about ``hosts``, or about one host with everything and ``data``; nothing when they are in order."""
    try:
        site.look(*(hosts or (site.host("gw", **data),)))
    except SettingsError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("there", "data", "said"),
    [
        # A machine sold with 16 GB; the kernel has the rest.
        (15974, {"preset": "large"}, ""),
        (15974, {"memory_mb": 17571}, ""),
        (15974, {"memory_mb": 17572}, "memory_mb: 17,572 MiB to share out, but the host has 15,974 MiB; "),
        (15974, {"preset": "large", "memory_mb": 65536}, "memory_mb: 65,536 MiB to share out, but the host has "),
        (7936, {"preset": "large"}, "preset: `large` is 16,384 MiB to share out, but the host has 7,936 MiB; "),
        (7936, {"preset": "large", "vcpus": 4, "memory_mb": 7936}, ""),
        (7936, {"preset": "small"}, ""),
    ],
)
def test_more_memory_than_the_host_has_is_not_shared_out(there: int, data: dict[str, Any], said: str) -> None:
    host = site.host("gw", measure=Machine(1, there), **data)
    found = problems(host)
    assert [line.startswith(f"gw: {said}") for line in found] == ([True] if said else []), found
    outside = dataclasses.replace(host, connected=False, measure=lambda: pytest.fail("asked a host outside the run"))
    assert problems(outside) == []


def test_two_services_of_a_host_do_not_get_one_port() -> None:
    assert problems(redis_port=4100) == ["gw: redis_port and litellm_port are both 4100; give each a port of its own"]
    assert problems(redis_port=7000, health_port=7000) == [
        "gw: redis_port and health_port are both 7000; give each a port of its own"
    ]
    assert site.split(redis_port=4100), "on hosts of their own they do not meet"


def test_a_misspelt_argument_of_pyinfra_is_not_ignored() -> None:
    def said(key: str) -> list[str]:
        host = dataclasses.replace(site.host("gw", **{key: True}), arguments=frozenset(all_argument_meta))
        return problems(host)

    assert said("_sudo") == said("_su_user") == said("_env") == []
    assert said("_sudoo") == ["gw: _sudoo: is no argument of pyinfra; did you mean _sudo?"]
    assert said("_common") == [], "a name of one's own"


@pytest.mark.parametrize(("kib", "mib"), [(8131584, 7936), (8388608, 8192), (8388607, 7936), (16357376, 15872)])
def test_a_few_mebibytes_more_or_less_do_not_change_the_size_of_a_host(kib: int, mib: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(f"MemFree: 1 kB\nMemTotal:       {kib} kB\n")
    command = Hardware().command().replace("/proc/meminfo", f"{tmp_path}/meminfo")
    lines = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    assert Hardware().process(lines).memory_mb == mib
