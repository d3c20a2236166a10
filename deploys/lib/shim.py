"""A Python environment that is in an image, as the host sees it: a small program in its place, and files copied out."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from deploys.lib.images import FOLDER_LABEL
from deploys.lib.programs import TOOLS


def shim(folder: str, mounts: Sequence[str] = (), environment: Sequence[str] = ()) -> str:
    """The program `venv/bin/python` of ``folder``: runs the Python of the newest image that has this folder.

    A path among its arguments is there too, read-only; so are ``mounts``, and our programs. ``environment`` names the
    variables that go through; their values are in no command line.
    """
    there = " ".join(f"--volume {path}:{path}:ro" for path in (TOOLS, *mounts))
    passed = " ".join(f"--env {name}" for name in environment)
    return f"""#!/bin/sh
# Managed by Portcullis: stands for the Python of an image, so that questions asked on the host get its answers.
image=$(docker image ls --quiet --filter label={FOLDER_LABEL}={folder} | head -n 1)
[ -n "$image" ] || {{ echo "portcullis: no image on this host has {folder}; deploy again to build it" >&2; exit 1; }}
given=" "
for word; do
    word=${{word%/}}
    case $word in {folder} | {folder}/* | *[:\\ ]*) continue ;; /*) ;; *) continue ;; esac
    case $given in *" $word:"*) continue ;; esac
    [ ! -e "$word" ] || given="$given--volume $word:$word:ro "
done
# shellcheck disable=SC2086 # options, of paths without spaces
exec docker run --rm --init --interactive --pull never --network host --log-driver none --pids-limit 256 \\
    --user 0:0 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --workdir / \\
    --env HOME=/tmp {passed} {there} $given --entrypoint {folder}/venv/bin/python "$image" "$@"
"""


def shim_script(tag: str, folder: str, program: str, native: str, copied: str = "") -> str:
    """Shell text that puts ``program`` into ``folder``, with the files ``copied`` (a pattern in it) from the image.

    Where the whole environment is on the host already, as the command ``native`` says, it serves as it is.
    """
    out = (
        "docker run --rm --pull never --network none --log-driver none --user 0:0 --read-only --cap-drop ALL "
        f"--entrypoint sh {tag} -c {quote(f'cd {folder} && tar -cf - {copied}')} | tar --no-same-owner -xf - -C $new\n"
        if copied
        else ""
    )
    return (
        f"if ! {{ {native}; }}; then\n"
        f"new={folder}.part\nrm -rf $new; mkdir -p $new/venv/bin\n{out}"
        f"cat >$new/venv/bin/python <<'END OF FILE'\n{program}END OF FILE\n"
        f"chmod 0755 $new/venv/bin/python\nrm -rf {folder}; mv -T $new {folder}\nfi\n"
    )
