"""What takes long to try whole: `make check`, which must be quick, tries a part of it, and `make test` everything.

A module that takes anything from here is marked with ``thorough``: `make test` runs those once more, with
PORTCULLIS_THOROUGH.
"""

from __future__ import annotations

import os

import pytest

THOROUGH = bool(os.environ.get("PORTCULLIS_THOROUGH"))
thorough = pytest.mark.thorough


def stride(check: int) -> int:
    """How many steps further a program is killed the next time; at every step when thorough."""
    return 1 if THOROUGH else check


def examples(number: int) -> int:
    """How many examples hypothesis tries, of ``number`` when thorough."""
    return number if THOROUGH else max(number // 4, 10)
