"""Certificates that a site makes for its own services: from one secret, exchanged without locking anybody out."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from pydantic import SecretStr

from deploys.components import COMPONENTS, postgres_tls, redis_tls, transport
from deploys.components.health import HEALTH
from deploys.components.litellm.component import LITELLM
from deploys.components.postgres import POSTGRES
from deploys.components.redis import REDIS
from deploys.lib import tls
from deploys.lib.authority import Issued, issue, serve
from deploys.lib.component import Component, ConfigFile, Here
from deploys.lib.settings import SettingsError
from tests.unit import site

NEW, OLD = SecretStr("the secret of this site"), SecretStr("the one that it had before")
NAMES = ("127.0.0.1", "192.0.2.10", "2001:db8::10", "localhost", "db.example.org")
BOTH = {"postgres_tls": "site", "redis_tls": "site"}


def accepted(made: Issued, authority: str, names: tuple[str, ...], folder: Path) -> str:
    """What a client as strict as Python 3.13 says that trusts ``authority`` alone; empty when it is content."""
    for name, text in (("served.crt", made.certificate), ("trusted.crt", authority)):
        (folder / name).write_text(text)
    try:
        tls.check(str(folder / "served.crt"), made.key, str(folder / "trusted.crt"), names)
    except tls.Unusable as wrong:
        return f"{wrong.part}: {wrong}"
    return ""


def test_a_certificate_is_the_same_every_time_and_good_for_every_name(tmp_path: Path) -> None:
    made = serve(NEW, "store", NAMES)
    serve.cache_clear()
    assert serve(NEW, "store", NAMES) == made
    assert accepted(made, made.authority, NAMES, tmp_path) == ""
    assert accepted(made, made.authority, ("192.0.2.11",), tmp_path).startswith("certificate: is not for 192.0.2.11")
    other = serve(NEW, "cache", NAMES)
    assert other.authority == made.authority and other.key != made.key
    assert serve(OLD, "store", NAMES).authority != made.authority
    # Nothing of it is related to what the same secret would make between hosts that keep backups.
    assert issue(NEW, "192.0.2.10").key != made.key and issue(NEW, "192.0.2.10").authority != made.authority


def test_its_signature_has_a_hash_that_a_proof_of_a_password_can_be_bound_to() -> None:
    """With Ed25519 PostgreSQL and libpq end the connection: could not find digest for NID UNDEF."""
    for text in (serve(NEW, "store", NAMES).certificate, serve(NEW, "store", NAMES).authority):
        found = x509.load_pem_x509_certificate(text.encode()).signature_hash_algorithm
        assert found is not None and found.name == "sha256"


def test_with_the_secret_before_clients_of_both_authorities_accept_it_and_others_do_not(tmp_path: Path) -> None:
    old, new, crossed = serve(OLD, "store", NAMES), serve(NEW, "store", NAMES), serve(NEW, "store", NAMES, OLD)
    strange = serve(SecretStr("somebody else's secret"), "store", NAMES)
    refused = "ca: has not signed the certificate; give the root, and what is between the two below the certificate"
    assert accepted(new, old.authority, NAMES, tmp_path) == refused, "which is why the other is needed"
    for authority in (old.authority, new.authority):
        assert accepted(crossed, authority, NAMES, tmp_path) == ""
    assert accepted(crossed, strange.authority, NAMES, tmp_path) == refused
    # What is served before and after trusts nothing it did not: the new authority is the same, and so is the key.
    assert (crossed.authority, crossed.key) == (new.authority, new.key)
    assert crossed.certificate.startswith(new.certificate)
    assert accepted(old, new.authority, NAMES, tmp_path) == refused, "the old secret signs nothing for new clients"


def files(component: Component, here: Here) -> dict[str, ConfigFile]:
    return {item.path: item for item in component.files(here) if isinstance(item, ConfigFile)}


def trusted(here: Here) -> dict[str, str]:
    """What the clients on one host find above the certificates, by path."""
    made = {**files(LITELLM, here), **files(HEALTH, here)}
    return {path: made[path].text for path in made if path.endswith("-ca.crt")}


def test_one_word_is_enough_and_every_client_of_a_spread_out_site_accepts_both_services(tmp_path: Path) -> None:
    members = site.split(**BOTH)
    for name, component, folder, address in (
        ("db", POSTGRES, "/etc/postgresql/17/main", "192.0.2.10"),
        ("cache", REDIS, "/etc/redis", "192.0.2.11"),
    ):
        made = files(component, site.place(members, name))
        key = SecretStr(made[f"{folder}/tls.key"].text)
        served = Issued(made[f"{folder}/tls.crt"].text, key, made[f"{folder}/tls-ca.crt"].text)
        for gateway in ("gw-1", "gw-2"):
            texts = trusted(site.place(members, gateway))
            assert sorted(texts) == [
                "/etc/litellm/postgres-ca.crt",
                "/etc/litellm/redis-ca.crt",
                "/etc/portcullis/postgres-ca.crt",
                "/etc/portcullis/redis-ca.crt",
            ]
            assert set(texts.values()) == {served.authority}, "one secret, one authority"
            assert accepted(served, served.authority, (address, "127.0.0.1", "localhost", name), tmp_path) == ""
    assert all(
        component.problems(Here(m, members)) == []
        for m in members
        for component in (POSTGRES, REDIS)
        if m.has(component.name)
    )


def test_services_may_have_secrets_of_their_own() -> None:
    here = site.single(**BOTH, redis_tls_secret="env:BACKUPS_TLS_SECRET")
    assert len(set(trusted(here).values())) == 2


def test_another_secret_changes_what_is_served_at_once_and_the_one_before_only_adds_to_it() -> None:
    first = site.single(**BOTH, **{f"{of}_tls_secret": "env:SITE_TLS_SECRET_BEFORE" for of in ("postgres", "redis")})
    between = site.single(
        **BOTH, **{f"{of}_tls_secret_before": "env:SITE_TLS_SECRET_BEFORE" for of in ("postgres", "redis")}
    )
    last = site.single(**BOTH)
    for component, path in ((POSTGRES, "/etc/postgresql/17/main/tls.crt"), (REDIS, "/etc/redis/tls.crt")):
        texts = [files(component, here)[path].text for here in (first, between, last)]
        assert texts[1].startswith(texts[2]) and len(set(texts)) == 3
    assert trusted(first) != trusted(between) == trusted(last)


def refused(**data: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        site.single(**data)
    (problem,) = caught.value.problems
    return problem.removeprefix("gateway.example.org: ")


@pytest.mark.parametrize("of", ["postgres", "redis"])
def test_what_makes_no_sense_is_refused_with_one_sentence(of: str) -> None:
    before = {f"{of}_tls_secret_before": "env:SITE_TLS_SECRET"}
    assert refused(**{f"{of}_tls": "site"}, **before) == f"{of}_tls_secret_before: is {of}_tls_secret itself; remove it"
    assert refused(**before) == (
        f'{of}_tls_secret_before: says what was before {of}_tls = "site", which this is not; remove it'
    )
    said = refused(**{f"{of}_tls": "site", f"{of}_tls_secret": "env:NOWHERE"})
    assert said == (
        f"{of}_tls_secret: env:NOWHERE is set neither in the environment nor in secrets/test.env; export it, or "
        "add a line NOWHERE=... to that file"
    )
    weak = refused(**{f"{of}_tls": "site", f"{of}_tls_secret": "cmd:echo aaaaaaaaaaaaaaaaaaaaaaaa"})
    assert weak == f"{of}_tls_secret: repeats too few different characters; `make secrets` makes strong values"
    given = refused(**{f"{of}_tls": "given"})
    assert given == f"{of}_tls: needs {of}_tls_certificate, {of}_tls_key, {of}_tls_ca too"
    assert refused(**{f"{of}_tls": "yes"}) == f"{of}_tls: Input should be 'off', 'given' or 'site' (given: 'yes')"


def test_words_of_older_inventories_mean_what_they_did() -> None:
    assert site.single(redis_tls=False).settings(redis_tls.RedisSettings).tls == "off"
    assert refused(redis_tls=True) == "redis_tls: needs redis_tls_certificate, redis_tls_key, redis_tls_ca too"


def test_a_site_without_it_needs_no_secret_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets files of before do not have one."""
    monkeypatch.delitem(site.SECRETS, "SITE_TLS_SECRET")
    here = site.single()
    assert here.settings(redis_tls.RedisSettings).tls_secret is None
    assert "SITE_TLS_SECRET is set neither" in refused(redis_tls="site")


def test_names_of_hosts_that_no_client_could_use_are_in_no_certificate() -> None:
    member = site.single().member
    cases = {"db-1": True, "db.example.org": True, "@docker/db": False, "10.0.0.5": False, "a_b": False, "-a": False}
    for name, wanted in cases.items():
        named = dataclasses.replace(member, name=name, address="192.0.2.10")
        assert transport.names(named) == ("127.0.0.1", "192.0.2.10", "localhost", *([name] if wanted else []))


def test_neither_the_secret_nor_a_key_is_outside_of_the_key_files(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {f"{of}_tls_secret_before": "env:SITE_TLS_SECRET_BEFORE" for of in ("postgres", "redis")}
    spread = site.split(**BOTH, **before)
    places = [site.single(**BOTH, **before), *(Here(member, spread) for member in spread)]
    keys = ("/tls.key",)
    secret = {site.SECRETS[name] for name in ("SITE_TLS_SECRET", "SITE_TLS_SECRET_BEFORE")}
    for here in places:
        for component in (POSTGRES, REDIS):
            if here.member.has(component.name):
                text = next(file.text for path, file in files(component, here).items() if path.endswith(keys))
                secret |= {line for line in text.splitlines() if "PRIVATE" not in line}
    assert len(secret) > 8
    for here in places:
        for component in COMPONENTS:
            if not here.member.has(component.name):
                continue
            texts = site.shown(component, here, monkeypatch, lambda path: path.endswith(keys))
            assert not [text for text in texts for one in secret if one in text], component.name
            assert all(f.secret and f.mode == "0600" for f in component.files(here) if f.path.endswith(keys))


def test_the_certificate_of_a_site_is_what_it_was_when_this_was_written() -> None:
    """Another one would replace every certificate of every site at its next run."""
    made = serve(NEW, "store", NAMES)
    digests = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (made.certificate, made.authority)]
    assert digests == ["d8204c95dbd9bbfd", "1e5613ca5439f813"]


def test_a_rotation_reaches_postgresql_by_a_reload_that_lets_nobody_go() -> None:
    made = files(POSTGRES, site.single(**BOTH))
    folder = "/etc/postgresql/17/main"
    assert {made[f"{folder}/{name}"].effect for name in ("tls.crt", "tls.key")} == {"reload"}
    assert made[f"{folder}/tls.key"].user == "postgres"
    assert files(LITELLM, site.single(**BOTH))[postgres_tls.GATEWAY_AUTHORITY].effect == "restart"
