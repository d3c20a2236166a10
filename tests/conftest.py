"""What our tests add to pytest: two options and two markers."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the texts of tests/golden anew instead of comparing them"
    )
    parser.addoption(
        "--inventory", metavar="FILE", help="ask the deployed hosts of this inventory, such as inventories/lab.py"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "thorough: tries more with PORTCULLIS_THOROUGH, as `make test` does")
    config.addinivalue_line("markers", "lab: breaks disposable hosts on purpose; needs docker, and starts them itself")
