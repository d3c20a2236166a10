"""The salt key that is offered, tried on what the database has encrypted, before anything changes anywhere.

Three things in LiteLLM's database tell: the mark (postgres_salt.py), a text that a gateway encrypted with the key for
this very question (payload/litellm/database.py), and where that is missing whatever is stored there. They travel to
the controlling machine, which has the offered key; the key travels nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from deploys.components.litellm.encryption import opens
from deploys.components.litellm.settings import PAYLOAD, LitellmSettings
from deploys.components.postgres_install import as_postgres
from deploys.components.postgres_salt import digest
from deploys.components.postgres_settings import PostgresSettings
from deploys.lib.component import Here, Probe

# What a gateway encrypts for this question. Never changed: every database in use has it.
PROBE = "portcullis: whoever can read this has the salt key of this database"
OLD_ONE = (
    "Offer the old one: the secrets file of the first deploy has it, and LITELLM_SALT_KEY in /etc/litellm/.env on a "
    "gateway; or drop the database when nobody needs what is in it"
)


@cache
def query() -> str:
    return (PAYLOAD / "stored.sql").read_text()


def listed(stored: dict[str, int]) -> str:
    """``{"credential": 3, "model": 1}`` as words: 3 credentials and 1 model."""
    words = []
    for what, number in stored.items():
        head, of, rest = what.partition(" of ")
        words.append(f"{number} {head}{'s' if number > 1 else ''}{of}{rest}")
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def fits(found: dict[str, object], salt: str) -> bool:
    """Whether a salt key is the one the database was encrypted with, as far as it tells."""
    if found["mark"] not in (None, digest(salt)):
        return False
    if found["probe"]:
        return opens(str(found["probe"]), salt) == PROBE
    samples = found["samples"]
    assert isinstance(samples, list)
    return not samples or any(opens(sample, salt) is not None for sample in samples)


def judge(salt: str) -> Callable[[str], str]:
    """What is said of a database's answer: why the key is refused, or nothing."""

    def said(answer: str) -> str:
        if not answer.startswith("{"):
            return ""  # no server, no database: nothing that a key could fit
        found = json.loads(answer)
        if fits(found, salt):
            return ""
        lost = listed(found["stored"])
        lost = f"{lost} stored there would become unreadable" if lost else "nothing is stored there yet"
        return (
            "litellm_salt_key: the database was encrypted with another salt key than the one offered; "
            f"{lost}. {OLD_ONE}"
        )

    return said


def refusals(here: Here) -> list[Probe]:
    """Whether what the database has stored can be read with the key that is offered."""
    gateways = here.of("litellm")
    if not gateways:
        return []
    s: PostgresSettings = here.settings(PostgresSettings)
    offered = gateways[0].settings["litellm"]
    assert isinstance(offered, LitellmSettings)
    # A server that does not run cannot be asked: its gateways ask again, before they use the key.
    ask = f"{as_postgres(here, query(), s.database)} 2>/dev/null || true"
    return [Probe("another salt key", ask, judge=judge(offered.salt_key.get_secret_value()))]
