"""Every unit that is put on a host is in its sandbox, as systemd itself judges the text."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploys.components import COMPONENTS
from deploys.components.litellm.database import UNIT as REHEARSAL
from deploys.components.litellm.database import rehearsal
from deploys.lib.component import ConfigFile, Here
from tests import exposure
from tests.unit import site
from tests.unit.test_backups import pair
from tests.unit.test_firewall import CLOSED

FOLDER = "/etc/systemd/system/"
# Debian's units say how a service starts; of redis-server's own it is also the sandbox, which is judged on hosts.
DEBIANS = "[Service]\nType=forking\nExecStart=/bin/true\n"
DEBIANS_SANDBOX = ("redis-server.service", "nftables.service", "docker.service")


def units(here: Here) -> dict[str, str]:
    """Services as they are put on a host, by name; of Debian's own the part that is ours."""
    found = {}
    for component in COMPONENTS:
        if not here.member.has(component.name):
            continue
        for item in component.files(here):
            name = item.path.removeprefix(FOLDER)
            if isinstance(item, ConfigFile) and item.path.startswith(FOLDER):
                unit = name.partition(".d/")[0]
                if name.endswith(".service"):
                    found[name] = item.text
                elif unit.endswith(".service") and unit not in DEBIANS_SANDBOX:
                    found[unit] = DEBIANS + item.text
    return found


def everything() -> dict[str, str]:
    alone, database = site.single(**CLOSED, hardening_level="baseline"), pair()[0]
    others = (units(site.whole()), units(site.place(site.split(), "llm")), units(database))
    return {**{name: text for one in others for name, text in one.items()}, **units(alone), REHEARSAL: rehearsal(alone)}


def analyse(folder: Path, name: str, text: str, threshold: float) -> subprocess.CompletedProcess[str]:
    # A template is no unit that can be asked.
    path = folder / name.replace("@.", "@17-main.")
    path.write_text(text)
    words = ["--offline=yes", f"--threshold={round(threshold * 10)}", "--no-pager", str(path)]
    return subprocess.run(["systemd-analyze", "security", *words], capture_output=True, text=True)


@pytest.fixture(scope="module")
def _systemd() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed here")
    helped = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True).stdout
    if "--offline" not in helped or "--threshold" not in helped:
        pytest.skip("systemd-analyze is older than 250 here, and judges no unit that is not loaded")


def test_every_unit_says_how_far_out_of_its_sandbox_it_may_be() -> None:
    wanted = set(exposure.UNITS) | exposure.WITHOUT
    assert set(everything()) == wanted - set(DEBIANS_SANDBOX)


@pytest.mark.parametrize("name", sorted(set(exposure.UNITS) - set(DEBIANS_SANDBOX)))
def test_no_unit_is_further_out_of_its_sandbox(_systemd: None, tmp_path: Path, name: str) -> None:
    done = analyse(tmp_path, name, everything()[name], exposure.allowed(name))
    assert done.returncode == 0, f"{done.stdout[-400:]}{done.stderr}"


def test_a_rule_that_is_left_out_is_noticed(_systemd: None, tmp_path: Path) -> None:
    text = everything()["litellm.service"]
    for rule in ("PrivateMounts=yes", "PrivateUsers=yes", "IPAddressDeny=any", "CapabilityBoundingSet="):
        assert f"\n{rule}\n" in text
        assert analyse(tmp_path, "litellm.service", text.replace(f"\n{rule}\n", "\n"), 1.0).returncode, rule
