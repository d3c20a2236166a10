"""Plain words for whatever went wrong while probing, which never quote the text of an exception."""

import errno
import json
import os
import socket
import ssl

import asyncpg  # type: ignore[import-untyped]
import redis.exceptions

# Messages of drivers may quote connection strings and are not ours to vouch for, so only their types are used.
_KNOWN: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "the login was refused (user, password or pg_hba.conf)",
    ),
    (asyncpg.InvalidCatalogNameError, "the database does not exist"),
    (asyncpg.TooManyConnectionsError, "all connections are taken"),
    (asyncpg.CannotConnectNowError, "the server is starting, stopping or recovering"),
    (asyncpg.AdminShutdownError, "the server is stopping"),
    (asyncpg.ConnectionDoesNotExistError, "the connection was closed"),
    (
        (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError),
        "the login was refused (user, password or ACL)",
    ),
    (redis.exceptions.BusyLoadingError, "the server is still loading its data"),
    (ssl.SSLCertVerificationError, "the TLS certificate is not trusted"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "the host name cannot be resolved"),
    (json.JSONDecodeError, "the answer is not JSON"),
)


def is_refused(error: BaseException) -> bool:
    """Say whether the kernel refused the connection, which means that no process listens there."""
    return any(isinstance(one, OSError) and one.errno == errno.ECONNREFUSED for one in _chain(error))


def describe(error: BaseException, timeout: float) -> str:
    """Return why a probe failed, given its timeout in seconds."""
    chain = _chain(error)
    for one in chain:
        for kinds, words in _KNOWN:
            if isinstance(one, kinds):
                return words
    if is_refused(error):
        return "the connection was refused: nothing listens there"
    for one in chain:
        if isinstance(one, TimeoutError | redis.exceptions.TimeoutError):
            return f"no answer within {timeout:g} s"
    for one in chain:
        if isinstance(one, asyncpg.PostgresError) and one.sqlstate:
            return f"PostgreSQL answered with error {one.sqlstate}"
        if isinstance(one, OSError) and one.errno:
            return os.strerror(one.errno).lower()
    return f"failed ({type(error).__name__})"


def _chain(error: BaseException) -> list[BaseException]:
    """List an exception, those it was raised from, and the members of groups; drivers wrap the telling one."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        one = waiting.pop(0)
        if one is None or one in found:
            continue
        found.append(one)
        waiting += [getattr(one, "os_error", None), one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return found
