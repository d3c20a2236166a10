"""How tests of what runs elsewhere wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(look: Callable[[], Any], seconds: float) -> Any:
    """What ``look()`` gives as soon as that is true; the last of it when that never comes."""
    limit = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < limit:
        time.sleep(0.5)
    return found
