"""Images of the five services: what goes into them, that their Dockerfiles are clean, and what their tags depend on."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

from deploys.components import health_image, ollama_image, postgres_image, redis_image
from deploys.components.health import environment_folder
from deploys.components.litellm import image as litellm_image
from deploys.components.litellm.install import scripts, version_folder
from deploys.components.litellm.settings import LitellmSettings
from deploys.components.ollama import version_folder as ollama_folder
from deploys.lib import images
from deploys.lib.component import Here
from deploys.lib.images import Image, build_script, present, prune_script
from deploys.lib.render import ROOT
from deploys.lib.settings import SettingsError
from tests.unit import site

BASE = "docker.io/library/python@sha256:" + "1" * 64
PUBLISHED = "ghcr.io/berriai/litellm@sha256:" + "2" * 64
NAMES = ("redis", "postgres", "ollama", "health", "litellm", "published")
EACH = pytest.mark.parametrize("name", NAMES)


def image(name: str, **data: object) -> Image:
    here: Here = site.single(
        engine_base_image=BASE,
        **data,
        **({"litellm_image": PUBLISHED, "runtime": "compose"} if name == "published" else {}),
    )
    makers = {
        "redis": redis_image.image,
        "postgres": postgres_image.image,
        "ollama": ollama_image.image,
        "health": health_image.image,
    }
    return makers.get(name, litellm_image.image)(here)


def lint(program: str, text: str, *options: str) -> str:
    command = [str(ROOT / ".venv" / "bin" / program), *options, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True).stdout


@EACH
def test_hadolint_has_nothing_to_say(name: str) -> None:
    # At its lowest threshold: what it only remarks on fails as well.
    assert lint("hadolint", image(name).dockerfile, "--no-color") == ""


def test_hadolint_would_say_something() -> None:
    assert "DL3006" in lint("hadolint", "FROM debian\nRUN cd /\n", "--no-color")


def test_what_a_linter_is_told_to_ignore_has_its_reason_beside_it() -> None:
    for path in (ROOT / "templates").glob("*/Dockerfile*.j2"):
        lines = path.read_text().splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            assert "hadolint" not in line or before.startswith("# "), f"{path}: {line}"


@EACH
def test_an_image_starts_from_a_digest_and_ends_as_somebody_else_than_root(name: str) -> None:
    text = image(name).dockerfile
    wanted = PUBLISHED if name == "published" else BASE
    assert {line.split()[1] for line in text.splitlines() if line.startswith("FROM ")} == {wanted}
    user = re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1]
    assert re.fullmatch(r"\$\{[A-Z]+_ID\}|65534:65534", user)


@pytest.mark.parametrize("name", ["health", "litellm"])
def test_of_what_builds_only_the_finished_folder_is_in_the_image(name: str) -> None:
    folder = environment_folder() if name == "health" else version_folder(site.single())
    final = image(name).dockerfile.rpartition("\nFROM ")[2]
    assert f"COPY --from=builder {folder} {folder}\n" in final
    assert final.count("COPY ") == 1 and "pip" not in final and "curl" not in final
    assert f"LABEL {images.FOLDER_LABEL}={folder}\n" in final


def test_the_gateway_is_installed_by_the_scripts_of_a_host_without_containers() -> None:
    here = site.single()
    s, folder, files = here.member.settings["litellm"], version_folder(here), dict(image("litellm").files)
    assert isinstance(s, LitellmSettings)
    native, python = scripts(s, folder), '--python "$(command -v python3)" '
    assert files["prisma.sh"] == native["prisma"]
    assert (
        files["venv.sh"] == native["venv"].replace("--python /usr/bin/python3 ", python) and python in files["venv.sh"]
    )


def test_a_build_gets_the_hosts_logins_as_a_secret_only() -> None:
    for name in NAMES:
        made = image(name)
        assert "pip.conf" not in made.dockerfile and "npmrc" not in made.dockerfile
        for step in re.findall(r"^RUN (?:.*\\\n)*.*$", made.dockerfile, re.MULTILINE):
            # What comes over a network comes with it.
            assert ("host.sh" in step) == ("type=secret,id=host,required=true" in step)
        script = build_script(made)
        assert not [value for value in site.SECRETS.values() if value in script]
        assert "--secret" in script and "auth" not in script.split("docker buildx build")[1]


def test_servers_have_the_versions_and_numbers_of_the_host() -> None:
    assert dict(image("redis").arguments) == {
        "REDIS_ID": "getent passwd redis | cut -d : -f 3,4",
        "REDIS_SERVER": "dpkg-query -W -f '${Version}' redis-server 2>/dev/null",
        "LIBRARIES": images.LIBRARIES[1],
    }
    assert {"POSTGRESQL", "PGBACKREST", "LOCALES"} < set(dict(image("postgres").arguments))
    for name in NAMES:
        made = image(name)
        assert [argument for argument, _ in made.arguments if f"ARG {argument}\n" not in made.dockerfile] == []


POLICY = """libc6:
  Installed: 2.41-12
  Candidate: {0}
  Version table:
libssl3t64:
  Installed: (none)
  Candidate: 3.5.1-1
"""


@pytest.mark.parametrize("name", ["redis", "postgres", "health", "litellm"])
def test_a_library_that_debian_has_mended_makes_the_image_anew(name: str, tmp_path: Path) -> None:
    made = image(name)
    command, program = dict(made.arguments)["LIBRARIES"], tmp_path / "apt-cache"
    answers = []
    for version in ("2.41-12", "2.41-12", "2.41-12+deb13u1"):
        program.write_text(f"#!/bin/sh\n[ $LC_ALL = C ] && cat <<'END'\n{POLICY.format(version)}END\n")
        program.chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        answers.append(subprocess.run(["sh", "-c", command], env=path, capture_output=True, text=True).stdout)
    assert answers[0] == answers[1] != answers[2] and answers[2].strip().isdigit()
    # The step that brings them has the number among its variables, so BuildKit's cache does not answer for it.
    final = made.dockerfile.rpartition("\nFROM ")[2]
    before, _, after = final.partition("ARG LIBRARIES\n")
    assert "packages.sh" not in before and "/build/packages.sh" in after
    assert "LIBRARIES=$(LC_ALL=C" in present(made)


def test_what_the_base_image_has_is_brought_up_to_date_before_anything_is_added(tmp_path: Path) -> None:
    for name, text in (("apt-get", f'echo "$*" >>{tmp_path}/calls'), ("apt-cache", "echo 'x | 1.2 | y'"), ("rm", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = (images.PROGRAMS / "packages.sh").read_text().replace("/usr/sbin/policy-rc.d", f"{tmp_path}/policy-rc.d")
    for words in ([], ["one=1.2", "two=9"]):
        (tmp_path / "calls").unlink(missing_ok=True)
        subprocess.run(["sh", "-c", script, "sh", *words], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
        update, upgrade, install = (tmp_path / "calls").read_text().splitlines()
        assert update == "-q update" and upgrade.endswith(" upgrade")
        assert install.endswith(" install one=1.2 two" if words else " install")


def test_ollama_comes_from_the_folder_the_host_has_checked() -> None:
    made, folder = image("ollama"), ollama_folder(site.single())
    assert made.contexts == (("ollama", folder),)
    assert f"COPY --from=ollama . {folder}/\n" in made.dockerfile and "host.sh" not in made.dockerfile


@EACH
def test_a_tag_is_the_digest_of_everything_that_goes_in(name: str) -> None:
    made = image(name)
    assert re.fullmatch(r"portcullis-[a-z]+:[a-z0-9.]+-[0-9a-f]{8}", made.tag)
    assert made == image(name) and made.tag == image(name).tag
    others = [
        dataclasses.replace(made, dockerfile=made.dockerfile + "# more\n"),
        dataclasses.replace(made, files=(*made.files, ("more", "\n"))),
        dataclasses.replace(made, contexts=(("more", "/srv"),)),
        dataclasses.replace(made, arguments=(("MORE", "true"),)),
    ]
    assert len({made.tag, *(other.tag for other in others)}) == 5
    assert made.folder == f"/opt/portcullis/images/{made.name}-{made.digest}"


def test_what_a_service_is_told_at_its_start_makes_no_new_image() -> None:
    for name, data in {
        "redis": {"redis_port": 6390},
        "postgres": {"postgres_port": 5433},
        "health": {"health_port": 4002},
        "litellm": {"litellm_port": 4100, "litellm_workers": 1},
        "ollama": {"ollama_port": 11435},
    }.items():
        assert image(name, **data).tag == image(name).tag, name


@EACH
def test_the_shell_texts_parse_and_shellcheck_finds_nothing(name: str) -> None:
    made = image(name)
    stand_ins = [litellm_image.stand_in(site.single(), made.tag)]
    programs = re.findall(r"<<'END OF FILE'\n(#!/bin/sh\n.*?)END OF FILE\n", "".join(stand_ins), re.DOTALL)
    assert len(programs) == 1
    texts = [build_script(made), present(made) + "\n", prune_script("/var/backups/portcullis"), *stand_ins, *programs]
    for text in texts:
        assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0
        assert lint("shellcheck", text, "-s", "sh", "-S", "warning") == ""
    for file, text in made.files:
        assert not file.endswith(".sh") or subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0


@pytest.mark.parametrize("path", sorted(images.PROGRAMS.glob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_what_a_build_runs(path: Path) -> None:
    assert lint("shellcheck", path.read_text(), "-s", "sh") == ""


def test_a_published_image_is_named_by_its_digest() -> None:
    assert image("published").tag != image("litellm").tag
    with pytest.raises(SettingsError, match=r"litellm_image: must be an image with its digest"):
        site.single(litellm_image="ghcr.io/berriai/litellm:main-stable")
