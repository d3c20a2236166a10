"""The shape of the code: what belongs together is there, layers are kept, and the settings' page is up to date."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.components import COMPONENTS
from deploys.lib.component import Component
from deploys.lib.host_settings import HostSettings
from deploys.lib.render import ROOT
from tests.unit import site
from tests.unit.golden import rendered

EACH = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
LONGEST = 250
# Files that a program made, or that list what a program must reproduce byte for byte.
GENERATED = ("requirements.txt", "package-lock.json", "uv.txt")
# Longer than they should be when the limit was set: none of them may grow, and no other file may join them.
TOO_LONG = {
    "tests/lab/hosts.py": 255,
    "tests/lab/test_standin.py": 255,
    "tests/unit/test_health_app_stores.py": 340,
    "tests/unit/test_health_app_judgement.py": 330,
    "tests/unit/test_health_app_gateway.py": 370,
}
DRIVES_PYINFRA = {
    f"deploys/lib/{name}.py"
    for name in ("apply", "back", "billing", "deploy", "pyinfra_host", "report", "rewind", "session", "tools")
}


def tracked() -> list[Path]:
    """Every file that is or would be in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@EACH
def test_a_component_has_its_module_templates_golden_files_and_test(component: Component) -> None:
    room = ROOT / "deploys" / "components" / component.name
    # One module; or, for what is too much for one, a folder with the record in component.py.
    assert room.with_suffix(".py").is_file() or (room / "component.py").is_file()
    assert (ROOT / "tests" / "unit" / f"test_{component.name}.py").is_file()
    if rendered(component, site.having(component)):
        assert (ROOT / "templates" / component.name).is_dir()
        assert list((ROOT / "tests" / "golden" / component.name).iterdir())


@EACH
def test_every_setting_says_what_it_means(component: Component) -> None:
    for name, field in {**component.settings.model_fields, **HostSettings.model_fields}.items():
        assert field.description and field.description.rstrip().endswith("."), f"{component.name}_{name}"


def test_no_components_name_begins_anothers_keys() -> None:
    names = [component.name for component in COMPONENTS]
    assert len(set(names)) == len(names)
    for one in names:
        assert not [other for other in names if other != one and f"{other}_".startswith(f"{one}_")]
        assert not [key for key in HostSettings.model_fields if key.startswith(f"{one}_")], one


def test_components_come_after_what_they_need() -> None:
    names = [component.name for component in COMPONENTS]
    for component in COMPONENTS:
        assert all(names.index(need) < names.index(component.name) for need in component.needs), component.name


@pytest.mark.parametrize("path", sorted((ROOT / "deploys" / "lib").glob("*.py")), ids=lambda path: path.name)
def test_the_library_names_no_component_and_only_its_upper_half_drives_pyinfra(path: Path) -> None:
    names = list(imports(path))
    assert not [name for name in names if name.startswith("deploys.components")]
    if str(path.relative_to(ROOT)) not in DRIVES_PYINFRA:
        upper = ("pyinfra", "deploys.operations", "deploys.facts", "deploys.lib.apply", "deploys.lib.report")
        assert not [name for name in names if name.startswith(upper)]
    if path.name == "checks.py":
        return  # its list of passwords that everyone knows has names of services in it
    words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert not words & {component.name for component in COMPONENTS if component.hosts != "all"}


def operation_calls(path: Path) -> Iterator[ast.Call]:
    """Calls such as ``operations.step(...)``, ``files.put(...)`` and of our own report's operations."""
    tree = ast.parse(path.read_text())
    modules = {"operations", "shipping"} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "pyinfra.operations"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in modules
        ) or (isinstance(function, ast.Name) and function.id in ("summary", "ask")):
            yield node


def test_every_call_of_an_operation_has_a_name() -> None:
    # Without one pyinfra shows all its arguments in the plan and in the log.
    found = 0
    for path in (ROOT / "deploys").rglob("*.py"):
        for call in operation_calls(path):
            found += 1
            assert any(keyword.arg == "name" for keyword in call.keywords), f"{path.name} line {call.lineno}"
    assert found > 20


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    for path in tracked():
        name = str(path.relative_to(ROOT))
        top = name.partition("/")[0]
        if top not in ("deploys", "payload", "templates", "tests") or path.name in GENERATED or "golden/" in name:
            continue
        if path.suffix in (".py", ".j2", ".sh", ".mjs", ""):
            lines = len(path.read_text().splitlines())
            assert lines <= TOO_LONG.get(name, LONGEST), f"{name} has {lines} lines"


def test_every_module_says_in_one_sentence_what_is_in_it() -> None:
    for folder in ("deploys", "scripts", "tests/unit", "tests/plan"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert not text or ast.get_docstring(ast.parse(text)), path


def test_the_settings_page_is_up_to_date() -> None:
    command = [sys.executable, "scripts/gen_settings_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_settings_page_has_every_key_and_no_secret() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    keys = [key for key in HostSettings.model_fields]
    keys += [f"{component.name}_{name}" for component in COMPONENTS for name in component.settings.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in text] == []
    for row in re.findall(r"^\| `\S+` \| secret \|.*$", text, re.M):
        assert re.search(r"\| (`env:[A-Z_]+`|\(needed\)|) \|", row), row
    assert not [value for value in site.SECRETS.values() if value in text]


def own_indexes() -> set[str]:
    """Hosts of package indexes: the public ones, and those that this machine is told to use."""
    names = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY", "HTTP_PROXY", "HTTPS_PROXY")
    urls = [os.environ.get(name, "") + os.environ.get(name.lower(), "") for name in names]
    files = [
        Path("/etc/pip.conf"),
        Path.home() / ".pip/pip.conf",
        Path.home() / ".config/pip/pip.conf",
        Path.home() / ".npmrc",
    ]
    urls += [path.read_text() for path in files if path.is_file()]
    hosts = {host for url in urls for host in re.findall(r"https?://(?:[^/@\s]*@)?([A-Za-z0-9.-]+)", url)}
    public = {"pypi" + ".org", "npmjs" + ".org", "pythonhosted" + ".org"}
    return {host for host in hosts if "." in host} - {"127.0.0.1"} | public


def test_nothing_of_this_machine_is_in_a_tracked_file() -> None:
    own = {*own_indexes(), "/tmp" + "/bash_jobs", "/work" + "/shared"}
    if len(ROOT.parts) > 2:
        own.add(f"{ROOT}/")
    for path in tracked():
        if path.name != "uv.lock" and path.suffix not in (".zst", ".gguf", ".png"):
            text = path.read_text(errors="replace")
            assert not [word for word in own if word in text], path


def test_what_tries_a_part_in_make_check_is_tried_whole_in_make_test() -> None:
    text = (ROOT / "Makefile").read_text()
    assert "PORTCULLIS_THOROUGH=1 $(PY) -m pytest -q -n 2 tests/unit -m thorough\n" in text
    found = [path for path in (ROOT / "tests" / "unit").glob("test_*.py") if "tests.unit.thorough" in imports(path)]
    assert len(found) > 5
    for path in found:
        assert "\npytestmark = thorough\n" in path.read_text(), path


def test_settings_files_import_nothing_of_the_tests() -> None:
    """pyinfra reads every file of group_data/ on every run, whatever the inventory."""
    for path in (ROOT / "group_data").glob("*.py"):
        assert "tests" not in path.read_text(), path
