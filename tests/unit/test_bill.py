"""The bill of materials of a host: what is asked, how answers are read, and that the document is valid CycloneDX."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from deploys.components import COMPONENTS
from deploys.lib import bill
from deploys.lib.bill import BillError, Part, parts
from deploys.lib.bill_document import VERSION, document
from tests.unit import site

SYSTEM = {"ID": "debian", "VERSION_ID": "13"}
ONE, TWO, THREE = "sha256:" + "1" * 64, "sha256:" + "2" * 64, "sha512:" + "3" * 128
FOUND = [
    Part("base", "deb", "libc6", "2.41-12", (), ("amd64", "glibc", "2.41-12")),
    Part("base", "deb", "redis-server", "5:8.0.2-3", (), ("amd64", "redis-server", "5:8.0.2-3")),
    Part("litellm", "pypi", "litellm", "1.106.2", (ONE, TWO)),
    Part("health", "pypi", "aiohttp", "3.14.5", (ONE,)),
    Part("litellm", "pypi", "aiohttp", "3.14.5", (ONE,)),
    Part("litellm", "npm", "@prisma/engines", "5.4.2", (THREE,)),
    Part("litellm", "file", "prisma-query-engine", "ac9d", (ONE,), ("pkg:github/prisma/prisma-engines@ac9d",)),
    Part("litellm", "file", "prisma-schema-engine", "ac9d", (TWO,), ("pkg:github/prisma/prisma-engines@ac9d#schema",)),
    Part("ollama", "file", "ollama", "0.35.1", (TWO,), ("pkg:github/ollama/ollama@v0.35.1",)),
    Part("ollama", "model", "llama3.2", "3b", (ONE,)),
    Part("engine", "image", "portcullis/litellm:1.106.2-cd12", "", (TWO,)),
]


def asked(tmp_path: Path, *commands: str) -> list[Part]:
    """What a shell on this machine answers."""
    script = bill.question({"litellm": commands})
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    return parts(done.stdout.splitlines())


def made(*found: Part) -> dict[str, Any]:
    text = document("gw-1", SYSTEM, found, "abc123")
    assert JsonStrictValidator(VERSION).validate_str(text) is None
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_python_packages_are_those_that_are_there_with_the_hashes_of_their_lock(tmp_path: Path) -> None:
    folder = tmp_path / "1.0"
    site_packages = folder / "venv" / "lib" / "python3.13" / "site-packages"
    for name, version in (("Typing_Extensions", "4.16.0"), ("stray", "1.0")):
        (site_packages / f"{name}-{version}.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (site_packages / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)
    (folder / "requirements.txt").write_text(
        f"colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash={THREE[:3]}256:{'9' * 64}\n"
        f"typing-extensions==4.16.0 \\\n    --hash={ONE} \\\n    --hash={TWO}\n"
    )
    assert sorted(asked(tmp_path, bill.locked(str(folder))), key=lambda part: part.name) == [
        Part("litellm", "pypi", "stray", "1.0"),
        Part("litellm", "pypi", "typing-extensions", "4.16.0", (ONE, TWO)),
    ]


def test_npm_packages_and_files_are_named_with_their_digests(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    integrity = "sha512-" + base64.b64encode(bytes.fromhex("3" * 128)).decode()
    packages = {
        "node_modules/prisma": {"version": "5.4.2", "integrity": integrity},
        "node_modules/prisma/node_modules/@prisma/engines": {"version": "5.4.3"},
    }
    (tmp_path / "node_modules" / ".package-lock.json").write_text(json.dumps({"packages": packages}))
    (tmp_path / "engine").write_text("test")
    found = asked(tmp_path, bill.node_modules("."), bill.file("engine", "an engine", "7", "pkg:github/a/b@7"))
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert found == [
        Part("litellm", "npm", "prisma", "5.4.2", (THREE,)),
        Part("litellm", "npm", "@prisma/engines", "5.4.3"),
        Part("litellm", "file", "an engine", "7", (f"sha256:{digest}",), ("pkg:github/a/b@7",)),
    ]


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        (
            ("printf 'npm\\ta\\t1\\t-\\n'", bill.file("absent", "x", "1", "pkg:a/b")),
            "what litellm has on the host cann",
        ),
        ((bill.locked("/nowhere"),), "what litellm has on the host cannot be asked"),
        (("echo and now something else",), "has a line that means nothing: 'and now something else'"),
        (("true",), "the host does not say what is on it"),
    ],
)
def test_there_is_no_bill_of_a_part_of_a_host(tmp_path: Path, commands: tuple[str, ...], why: str) -> None:
    with pytest.raises(BillError, match=why):
        asked(tmp_path, *commands)


def test_debian_packages_are_those_that_are_installed(tmp_path: Path) -> None:
    found = {part.name: part for part in asked(tmp_path, bill.PACKAGES)} if Path("/usr/bin/dpkg-query").exists() else {}
    if not found:
        pytest.skip("this machine has no dpkg")
    assert found["bash"].kind == "deb" and found["bash"].version and found["bash"].words[1] == "bash"


def test_the_document_is_valid_and_names_everything_by_its_purl() -> None:
    bom = made(*FOUND)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"] == {"bom-ref": "host:gw-1", "name": "gw-1", "type": "device"}
    assert {"name": "portcullis", "type": "application", "version": "abc123"} in bom["metadata"]["tools"]["components"]
    assert sorted(one["purl"] for one in bom["components"] if "purl" in one) == sorted(
        [
            "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc%402.41-12",
            "pkg:deb/debian/redis-server@5:8.0.2-3?arch=amd64&distro=debian-13",
            "pkg:pypi/litellm@1.106.2",
            "pkg:pypi/aiohttp@3.14.5",
            "pkg:pypi/aiohttp@3.14.5",
            "pkg:npm/%40prisma/engines@5.4.2",
            "pkg:github/prisma/prisma-engines@ac9d",
            "pkg:github/prisma/prisma-engines@ac9d#schema",
            "pkg:github/ollama/ollama@v0.35.1",
            f"pkg:generic/ollama/llama3.2@3b?checksum={ONE}",
            f"pkg:oci/litellm@{TWO}",
        ]
    )
    (whole,) = [one for one in bom["dependencies"] if one["ref"] == "host:gw-1"]
    assert len(set(whole["dependsOn"])) == len(FOUND) + 1, "and the operating system"
    assert {one["bom-ref"] for one in bom["components"]} == set(whole["dependsOn"])


def test_nothing_on_a_host_has_the_name_of_something_else() -> None:
    here = site.single()
    purls = [text.rpartition(" ")[2] for one in COMPONENTS for text in one.bill(here) if "sha256sum" in text]
    assert len(purls) == len(set(purls)) == 3


def test_a_lock_has_a_digest_for_every_platform_and_the_package_itself_is_said_to_have_none() -> None:
    (package,) = [one for one in made(*FOUND)["components"] if one["name"] == "litellm" and "purl" in one]
    assert "hashes" not in package
    (where,) = package["externalReferences"]
    assert {one["content"] for one in where["hashes"]} == {"1" * 64, "2" * 64}
    engine = next(one for one in made(*FOUND)["components"] if one["name"] == "ollama")
    assert engine["hashes"] == [{"alg": "SHA-256", "content": "2" * 64}]


@pytest.mark.parametrize("runtime", ["systemd", "compose"])
def test_what_hosts_are_asked_is_shell_text_and_names_no_secret(runtime: str) -> None:
    here = site.single(runtime=runtime)
    commands = {one.name: one.bill(here) for one in COMPONENTS if one.bill(here)}
    wanted = {"base", "ollama"} | ({"engine"} if runtime == "compose" else {"litellm", "health"})
    assert set(commands) == wanted
    text = bill.question(commands)
    assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert not [value for value in site.SECRETS.values() if value in text]
