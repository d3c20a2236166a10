"""The shell text that builds, removes and stands in for images, run here with an engine that only writes down."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.lib.images import Image, build_script, present, prune_script, pruned
from deploys.lib.shim import shim, shim_script

IMAGE = Image(
    "thing", "1", "FROM x\n", (("more.txt", "more $HOME\n"),), arguments=(("VERSION", "cat version 2>/dev/null"),)
)
FAILED = """#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#7 [2/3] RUN --mount=type=secret,id=host --mount=type=tmpfs,target=/host sh /build/packages.sh
#7 0.512 Reading package lists...
#7 0.926 E: Unable to locate package nothing
#7 ERROR: process "/bin/sh" did not complete successfully: exit code: 100
------
 > [2/3] RUN --mount=type=secret,id=host sh /build/packages.sh:
0.512 Reading package lists...
0.926 E: Unable to locate package nothing
------
Dockerfile:3
--------------------
   2 |     FROM x
   3 | >>> RUN sh /build/packages.sh
--------------------
ERROR: failed to solve: process "/bin/sh" did not complete successfully: exit code: 100
"""
NO_BASE = """#2 [internal] load metadata for base@sha256:00
#2 ERROR: base@sha256:00: not found
------
 > [internal] load metadata for base@sha256:00:
------
Dockerfile:2
--------------------
   2 | >>> FROM base@sha256:00
--------------------
ERROR: failed to solve: base@sha256:00: failed to resolve source metadata for base@sha256:00: not found
"""


class Host:
    """A folder with a `docker` that writes its arguments down and answers from files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        docker = folder / "bin" / "docker"
        docker.write_text(
            f'#!/bin/sh\ncd {folder}\nprintf "%s\\n" "$*" >>calls\n'
            'for word in "$2" "$1"; do\n'
            '    [ ! -e "answer-$word" ] || { cat "answer-$word"; exit "$(cat "exit-$word" 2>/dev/null || echo 0)"; }\n'
            "done\n"
        )
        docker.chmod(0o755)
        self.answer("version", "")

    def answer(self, word: str, text: str, status: int = 0) -> None:
        (self.folder / f"answer-{word}").write_text(text)
        (self.folder / f"exit-{word}").write_text(str(status))

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.is_file() else []

    def run(self, text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for place in ("/opt/", "/run/", "/etc/portcullis", "/var/backups", "/var/lib/portcullis", "/usr/local/lib"):
            text = text.replace(place, f"{self.folder}{place}")
        # What this machine's package sources are is no matter here.
        text = text.replace('sh "$work/gather.sh" "$work"', ': >"$work/host.tar.gz"')
        return subprocess.run(
            ["sh", "-euc", text, "sh", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin", **environment},
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    (tmp_path / "version").write_text("1.2-3\n")
    return made


def test_a_build_writes_its_files_and_leaves_no_login_behind(host: Host) -> None:
    host.answer("build", "#1 [1/1] FROM x\n#1 DONE 0.1s\n")
    done = host.run(build_script(IMAGE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"building {IMAGE.tag}", "[1/1] FROM x", f"built {IMAGE.tag}"]
    folder = Path(f"{host.folder}{IMAGE.folder}")
    assert (folder / "more.txt").read_text() == "more $HOME\n" and (folder / "Dockerfile").read_text() == "FROM x\n"
    assert list((host.folder / "run" / "portcullis-build").iterdir()) == []
    call, cleaned = host.calls()[-2:]
    assert cleaned == "builder prune --force"
    assert call.startswith("buildx build --builder default --progress plain --load") and "--network host" in call
    assert "--build-arg VERSION=1.2-3 --label portcullis.host=on VERSION=1.2-3 --label portcullis.image=thing" in call
    assert f"--tag {IMAGE.tag} " in call


@pytest.mark.parametrize(
    ("output", "last"),
    [
        (FAILED, ["Reading package lists...", "E: Unable to locate package nothing"]),
        (NO_BASE, ["the base image cannot be had: base@sha256:00: not found"]),
    ],
)
def test_the_last_lines_of_a_build_that_failed_say_why(host: Host, output: str, last: list[str]) -> None:
    host.answer("build", output, status=1)
    done = host.run(build_script(IMAGE))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-len(last) - 1 :] == [f"building {IMAGE.tag} failed:", *last]
    # On the way: neither clocks nor rules nor the Dockerfile again.
    assert "[2/3] RUN sh /build/packages.sh" in done.stdout or output is NO_BASE
    assert "DONE" not in done.stdout and "---" not in done.stdout and ">>>" not in done.stdout
    assert host.calls()[-1] == "builder prune --force", "what it has written is no use to anybody, and takes room"
    assert list((host.folder / "run" / "portcullis-build").iterdir()) == []


def test_a_host_that_lacks_something_is_told_before_anything_is_built(host: Host) -> None:
    (host.folder / "version").unlink()
    done = host.run(build_script(IMAGE))
    assert done.returncode == 1 and "thing: the host has nothing to say for VERSION: cat version" in done.stdout
    missing = Image("thing", "1", "FROM x\n", contexts=(("there", "/opt/there"),))
    done = host.run(build_script(missing))
    assert done.returncode == 1 and "opt/there is missing on this host" in done.stdout
    host.answer("version", "", status=1)
    done = host.run(build_script(IMAGE))
    assert done.returncode == 1 and "docker buildx is missing" in done.stdout
    assert not [call for call in host.calls() if call.startswith("buildx build")]


def test_an_image_counts_as_present_while_the_host_is_as_it_was_built_for(host: Host) -> None:
    host.answer("inspect", "on VERSION=1.2-3\n")
    assert host.run(present(IMAGE)).returncode == 0
    (host.folder / "version").write_text("1.2-4\n")
    assert host.run(present(IMAGE)).returncode == 1
    (host.folder / "version").write_text("1.2-3\n")
    host.answer("inspect", "", status=1)
    assert host.run(present(IMAGE)).returncode == 1
    assert host.run(present(Image("thing", "1", "FROM x\n"))).returncode == 1


def test_images_that_nothing_names_go_with_what_they_were_made_from(host: Host) -> None:
    root = "/var/backups/portcullis"
    old, kept, served = "portcullis-a:1-00000001", "portcullis-a:2-00000002", "portcullis-b:1-00000003"
    host.answer("ls", f"{old}\n{kept}\n{served}\n")
    for name in ("a-00000001", "a-00000002", "b-00000003", "b-00000009"):
        Path(f"{host.folder}/opt/portcullis/images/{name}").mkdir(parents=True)
    assert host.run(pruned(root)).returncode == 0
    assert "none is removed" in host.run(prune_script(root)).stdout and "image rm" not in "".join(host.calls())
    bundle, compose = Path(f"{host.folder}{root}/R1/components/a/f"), Path(f"{host.folder}/etc/portcullis/compose")
    bundle.mkdir(parents=True)
    compose.mkdir(parents=True)
    (bundle / "3").write_text(f'services:\n  a: {{image: "{kept}"}}\n')
    (compose / "b.yaml").write_text(f"    image: {served}\n")
    assert host.run(pruned(root)).returncode == 1
    done = host.run(prune_script(root))
    assert done.returncode == 0 and done.stdout == f"removed {old}\n", done.stderr
    assert [call for call in host.calls() if call.startswith("image rm")] == [f"image rm {old}"]
    host.answer("ls", f"{kept}\n{served}\n")
    assert host.run(pruned(root)).returncode == 0
    # What no image has goes.
    assert not Path(f"{host.folder}/opt/portcullis/images/b-00000009").exists()
    assert Path(f"{host.folder}/opt/portcullis/images/a-00000002").is_dir()


def test_a_stand_in_gives_the_image_what_its_arguments_name_and_no_more(host: Host) -> None:
    program = shim("/opt/thing/1", ["/etc/portcullis"], ["ADDRESS"])
    given = host.folder / "given.env"
    given.write_text("\n")
    other = Path(f"{host.folder}/opt/thing/2")
    other.mkdir(parents=True)
    done = host.run(program, "check.py", str(given), str(given), "/nowhere", f"{other}/", str(other), "-c", "1 / 2")
    assert done.returncode == 1 and "no image on this host has" in done.stderr
    host.answer("ls", "0123456789ab\n111111111111\n")
    arguments = (
        "check.py",
        str(given),
        str(given),
        "/nowhere",
        f"{other}/",
        f"{host.folder}/opt/thing/1/x",
        "-c",
        "1 / 2",
    )
    done = host.run(program, *arguments, ADDRESS="secret")
    assert done.returncode == 0, done.stderr
    call = host.calls()[-1]
    assert call.count("--volume") == 4 and call.count(f"--volume {given}:{given}:ro") == 1
    assert f"--volume {other}:{other}:ro" in call and "/nowhere:" not in call and "secret" not in call
    assert "--env ADDRESS " in call and "--cap-drop ALL" in call and "--read-only" in call and "docker.sock" not in call
    assert call.endswith(f"/opt/thing/1/venv/bin/python 0123456789ab {' '.join(arguments)}")


def test_a_stand_in_replaces_nothing_that_is_whole(host: Host) -> None:
    folder = Path(f"{host.folder}/opt/thing/1")
    text = shim_script("portcullis-thing:1-0", "/opt/thing/1", shim("/opt/thing/1"), "[ -f /opt/thing/1/whole ]")
    assert host.run(text).returncode == 0
    python = folder / "venv" / "bin" / "python"
    assert python.read_text().startswith("#!/bin/sh\n") and python.stat().st_mode & 0o777 == 0o755
    (folder / "whole").touch()
    python.write_text("the real one")
    assert host.run(text).returncode == 0 and python.read_text() == "the real one"
