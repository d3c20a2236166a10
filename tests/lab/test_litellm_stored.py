"""What LiteLLM encrypts and where, asked of a real one: the key's guard must know its formats and its places."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from deploys.components.litellm import database
from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import DEFAULT_VERSION, PAYLOAD
from deploys.components.postgres_guard import PROBE, query
from tests.lab.real_litellm import NEEDED, PYTHON, environment

pytestmark = NEEDED
SALT = "salt-0123456789-abcdefghijklmnop"
SCRIPT = f"""
import base64, json
from litellm.proxy.common_utils import encrypt_decrypt_utils as utils
from litellm.proxy.db.master_key_migration import _SECRET_COLUMNS
salt = {SALT!r}
print(json.dumps({{
    "nacl": base64.urlsafe_b64encode(utils.encrypt_value("the text", salt)).decode(),
    "gcm": utils._encrypt_aes_gcm("the text", salt),
    "places": [[c.table, c.column, c.only_rows_with_marked_ciphertexts] for c in _SECRET_COLUMNS],
}}))
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run([PYTHON, "-c", SCRIPT], env=environment(home), capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", ["nacl", "gcm"])
def test_what_litellm_encrypts_can_be_opened_here(real: dict[str, object], kind: str) -> None:
    assert opens(str(real[kind]), SALT) == "the text"
    assert opens(str(real[kind]), f"{SALT}x") is None


def test_every_place_that_litellm_encrypts_is_counted(real: dict[str, object]) -> None:
    rows = re.findall(r"\('[^']+', '(\w+)', '(\w+)', (true|false)\)", query())
    assert sorted([table, column, marked == "true"] for table, column, marked in rows) == sorted(real["places"])  # type: ignore[call-overload]


def test_the_migrations_that_are_written_down_are_those_of_the_release() -> None:
    folder = str(Path(PYTHON).parents[1])
    command = [PYTHON, str(PAYLOAD / "migrations.py"), "list", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (PAYLOAD / DEFAULT_VERSION / "migrations.txt").read_text()
    assert len(database.migrations(DEFAULT_VERSION)) == 213


def test_the_gateways_program_uses_litellms_own_code_without_the_package_around_it(tmp_path: Path) -> None:
    """The whole package takes seconds at every change of a file, and a root process of it would ask the internet."""
    script = (
        f"import base64, importlib.util, sys; sys.path.insert(0, {str(PAYLOAD)!r}); sys.dont_write_bytecode = True\n"
        f"spec = importlib.util.spec_from_file_location('database', {str(PAYLOAD / 'database.py')!r})\n"
        "made = importlib.util.module_from_spec(spec); spec.loader.exec_module(made)\n"
        f"text = base64.urlsafe_b64encode(made.cipher().encrypt_value(made.PROBE, {SALT!r})).decode()\n"
        f"assert made.opens(text, {SALT!r}) == made.PROBE and made.opens(text, 'x') is None\n"
        f"assert made.opens(made.cipher()._encrypt_aes_gcm('y', {SALT!r}), {SALT!r}) == 'y'\n"
        "assert 'litellm.main' not in sys.modules; print(text)"
    )
    done = subprocess.run([PYTHON, "-c", script], env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert opens(done.stdout.strip(), SALT) == PROBE
