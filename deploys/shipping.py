"""Operations that bring a host an image built on the controlling machine: sent there, or by way of a registry."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Generator
from pathlib import Path

from paramiko import SSHException
from pydantic import SecretStr
from pyinfra import host, logger, state
from pyinfra.api import FileUploadCommand, StringCommand, operation
from pyinfra.api.command import QuoteString

from deploys import operations
from deploys.facts import Succeeds
from deploys.lib import image_cache, workshop
from deploys.lib.images import Image, present
from deploys.lib.ledger import begins
from deploys.lib.shipping import FOLDER, gathered, inputs, load_script, login, pack, pull_script, question, stem
from deploys.lib.steps import SHOW_SECONDS
from deploys.lib.workshop import Order, Registry, WorkshopError
from deploys.watch import connector_arguments

Commands = Generator[str | StringCommand | FileUploadCommand, None, None]
MB = 1_000_000


@operation()
def ship(image: Image, cache: str, used_by: str) -> Commands:
    """Send ``image`` to the host, unless it is there, made for what the host has now.

    ``cache`` is the controlling machine's folder of images, and ``used_by`` the compose file that may name the image.
    """
    if _is_there(image, cache):
        return
    if not state.is_executing:
        yield "docker load"  # what a plan counts; nothing is built for it
        return
    try:
        order = _order(image)
        made = workshop.archive(cache, order)
    except (WorkshopError, OSError) as error:
        yield _failed(error)
        return
    file = f"{FOLDER}/{stem(image, order.given)}.tar.gz"
    yield f"{begins(_key(image))}rm -rf {FOLDER}; install -d -m 0700 {FOLDER}"
    with Sent(made.path) as archive:
        yield FileUploadCommand(archive, file, remote_temp_filename=host.get_temp_filename(file))
    yield from operations.step._inner(
        key=_key(image),
        script=load_script(image, order.given, made.sha256, used_by),
        unless=present(image),
    )


@operation()
def pull(
    image: Image,
    cache: str,
    used_by: str,
    registry: Registry,
    user: str | None = None,
    password: SecretStr | None = None,
) -> Commands:
    """Have the host fetch ``image`` by its digest from ``registry``, where this machine has pushed it.

    ``user`` and ``password`` are the host's login there, for as long as it takes.
    """
    if _is_there(image, cache):
        return
    if not state.is_executing:
        yield "docker pull"
        return
    try:
        order = _order(image)
        reference = workshop.pushed(cache, registry, order)
    except (WorkshopError, OSError) as error:
        yield _failed(error)
        return
    if user and password:
        logged_in = f"{begins(_key(image))}{login(registry.name, user)}"
        yield StringCommand(logged_in, _stdin=password.get_secret_value())
    yield from operations.step._inner(
        key=_key(image), script=pull_script(image, reference, used_by), unless=present(image)
    )


@operation()
def forget(cache: str, days: int) -> Commands:
    """Remove images from the controlling machine's folder that no run has named for ``days``; changes no host."""
    if state.is_executing:
        for name in image_cache.prune(cache, days):
            logger.info(f"{host.print_prefix}this machine kept {name}, which no run has named for {days} days: removed")
    yield from ()


def _key(image: Image) -> str:
    return f"image-{image.tag.replace(':', '-')}"


def _is_there(image: Image, cache: str) -> bool:
    if state.is_executing:
        image_cache.keep(cache, image.tag)
    if host.get_fact(Succeeds, command=present(image)):
        host.noop(f"{image.tag} is there")
        return True
    return False


def _failed(error: WorkshopError | OSError) -> StringCommand:
    why = str(error) if isinstance(error, WorkshopError) else f"the controlling machine could not build it: {error}"
    return StringCommand("echo", QuoteString(why), ">&2;", "exit", "1")


def _order(image: Image) -> Order:
    given = inputs(_asked(question(image)))
    prefix = host.print_prefix

    def fetch(work: Path) -> None:
        archive = work / "host.tar.gz"
        archive.touch(mode=0o600)
        archive.write_bytes(base64.b64decode("".join(_asked(gathered()))))
        folders = dict(given.folders)
        for name, path in image.contexts:
            _fetched(path, work / f"{name}.tar.gz", f"{FOLDER}/{image.name}-{name}.tar.gz")
            workshop.unpack(work / f"{name}.tar.gz", folders[name], work / "folders" / name)

    return Order(image, given, fetch, lambda line: logger.info(f"{prefix}{line}"))


def _asked(command: str) -> list[str]:
    """What ``command`` prints on the host. It is never shown, whatever pyinfra is told to show."""
    try:
        done, output = host.run_shell_command(
            StringCommand(command), print_output=False, print_input=state.print_input, **connector_arguments(host)
        )
    except (OSError, EOFError, SSHException) as error:
        raise WorkshopError(f"the host does not answer: {error}") from error
    if not done:
        said = [line for line in (*output.stderr_lines, *output.stdout_lines) if line.strip()]
        raise WorkshopError(said[-1] if said else "the host does not say why")
    return list(output.stdout_lines)


def _fetched(path: str, here: Path, there: str) -> None:
    """Fetch a folder of the host as an archive; nothing in it is secret."""
    _asked(pack(path, there))
    try:
        with here.open("wb") as file:
            done = host.get_file(
                there, file, remote_temp_filename=host.get_temp_filename(there), **connector_arguments(host)
            )
    except (OSError, EOFError, SSHException) as error:
        raise WorkshopError(f"{path} cannot be fetched from the host: {error}") from error
    finally:
        _asked(f"rm -f {there}")
    if not done:
        raise WorkshopError(f"{path} cannot be fetched from the host")


class Sent(io.FileIO):
    """A file that says from time to time how much of it was read, which is how much was sent."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.size, self.shown, self.prefix = path.stat().st_size, time.monotonic(), host.print_prefix

    def read(self, size: int | None = -1, /) -> bytes:
        now = time.monotonic()
        if now - self.shown >= SHOW_SECONDS:
            logger.info(f"{self.prefix}{self.tell() // MB} of {self.size // MB} MB sent")
            self.shown = now
        return super().read(size) or b""
