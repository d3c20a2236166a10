"""A run that brings TLS to Redis and PostgreSQL: no key is in anything that is shown, a wrong authority ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plan.command import MARK, Ran, pyinfra
from tests.unit import certificates

SITE = "deploys/site.py"


def run(data: dict[str, object]) -> Ran:
    words = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in data.items()]
    return pyinfra(SITE, "-y", "-vvv", "--debug", "--diff", *(word for one in words for word in ("--data", one)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


def test_no_line_of_the_key_is_in_a_command_or_in_anything_that_is_shown(folder: Path) -> None:
    data = certificates.settings(folder, ["192.0.2.11"])
    done = run(data)
    assert done.code == 0, done.text[-2000:]
    lines = [line for line in (folder / "redis.key").read_text().splitlines() if "PRIVATE" not in line]
    assert len(lines) == 3 and "transact redis " in done.text
    assert not [line for line in lines if line in done.out + done.text]
    asked = [line for line in done.executed if "redis-cli --tls " in line]
    assert asked and {line.partition(":")[0] for line in asked} == {"@fake/cache"}


def test_another_authority_ends_the_run_with_one_sentence_and_nothing_executed(folder: Path) -> None:
    data = certificates.settings(folder, ["192.0.2.11"])
    (folder / "ca.crt").write_text(certificates.authority("somebody").text)
    done = run(data)
    assert done.code == 1
    # After it comes where that was set.
    assert done.error.startswith(
        "nothing was changed: @fake/cache: redis_tls_ca: has not signed the certificate; give the root, and what is "
        "between the two below the certificate"
    )
    assert not [line for line in done.executed if "transact" in line or "apt-get" in line]


def test_neither_the_secret_of_a_site_nor_what_is_made_of_it_is_shown() -> None:
    done = run({"postgres_tls": "site", "redis_tls": "site", "redis_commands": "used"})
    assert done.code == 0, done.text[-2000:]
    assert "transact postgres " in done.text and "transact redis " in done.text
    assert MARK not in done.out + done.text and "PRIVATE KEY" not in done.out + done.text


def test_without_its_secret_nothing_is_done_and_one_sentence_says_how_to_make_it() -> None:
    words = ("--data", "postgres_tls=site")
    done = pyinfra(SITE, "-y", "--debug", *words, SITE_TLS_SECRET=None)
    assert done.code == 1
    assert "postgres_tls_secret: env:SITE_TLS_SECRET is set neither in the environment nor in " in done.error
    assert "`make secrets` creates it" in done.error
    assert not [line for line in done.executed if "transact" in line or "apt-get" in line]
