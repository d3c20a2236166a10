"""Shell text that makes a Python environment from a hash-locked requirement set, for every component that has one."""

from __future__ import annotations

from deploys.lib.render import ROOT

UV = "/opt/portcullis/uv"
# Debian packages the scripts below need.
PACKAGES = ["python3-venv"]
# The Python that a base image brings: Debian's, or one in /usr/local.
OF_THE_IMAGE = '"$(command -v python3)"'


def uv_script() -> str:
    """Install uv, hash-checked, where it is not there yet. It installs in seconds what pip needs minutes for."""
    lock = (ROOT / "payload" / "host" / "uv.txt").read_text()
    return (
        f"cat >{UV}.txt.part <<'LOCK'\n{lock}LOCK\n"
        f"if [ ! -x {UV}/bin/uv ] || ! cmp -s {UV}.txt.part {UV}.txt; then\n"
        f"    rm -rf {UV}; python3 -m venv {UV}\n"
        f"    {UV}/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r {UV}.txt.part\n"
        f"    mv {UV}.txt.part {UV}.txt\nfi\n"
    )


def venv_script(folder: str, python: str = "/usr/bin/python3") -> str:
    """Make ``folder``/venv from the requirement set in ``$DATA``; every file's hash is checked.

    ``python`` is a word of shell text, the interpreter it is made for: an image may have one of its own elsewhere.

    Compiled at once: LiteLLM's import costs 7 s more at every start when a read-only environment has no bytecode.
    """
    return (
        f"mkdir -p /opt/portcullis {folder}\n{uv_script()}"
        f"rm -rf {folder}/venv\n"
        f"{UV}/bin/uv venv --quiet --no-project --python {python} {folder}/venv\n"
        f'cp "$DATA" {folder}/requirements.txt\n'
        f"{UV}/bin/uv pip install --python {folder}/venv/bin/python --require-hashes --no-deps "
        f"--compile-bytecode --link-mode copy -r {folder}/requirements.txt 2>&1\n"
    )
