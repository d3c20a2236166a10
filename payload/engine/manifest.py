"""Ask a registry whether it has an image, by its digest, before anything on the host changes.

`manifest.py IMAGE QUESTION`, where QUESTION is JSON with `insecure` and `mirrors`, as in daemon.json, and `unverified`.
Prints why the engine will not be able to fetch the image, and fails; silent where it will, or nobody can tell: a
registry that wants a login is asked by the engine alone, which has one.
"""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from typing import Any

SECONDS = 6
HUB, HUB_ASKED = "docker.io", "https://registry-1.docker.io"
UNASKED = "cannot be asked from the host"
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "oci.image.index.v1",
    )
)


def parts(image: str) -> tuple[str, str, str]:
    """Registry, repository and digest of ``image``; a tag beside a digest says nothing."""
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = HUB, name if slash else f"library/{name}"
    return first, re.sub(r":[^/:]*$", "", rest), digest


def is_insecure(registry: str, insecure: list[str]) -> bool:
    """Whether ``registry`` is one of those, by name or by its network."""
    if registry in insecure:
        return True
    try:
        address = ipaddress.ip_address(registry.partition(":")[0])
    except ValueError:
        return False
    return any("/" in one and address in ipaddress.ip_network(one, strict=False) for one in insecure)


def places(registry: str, question: dict[str, Any]) -> list[str]:
    """Addresses to ask, the likelier one first."""
    if registry == HUB:
        return [*question["mirrors"], HUB_ASKED]
    schemes = ("http", "https") if is_insecure(registry, question["insecure"]) else ("https",)
    return [f"{scheme}://{registry}" for scheme in schemes]


def fetch(url: str, method: str, headers: dict[str, str], context: ssl.SSLContext) -> tuple[int, Message, str]:
    """Status, headers and text of an answer, an unfriendly one as well."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, ""


def token(challenge: str, name: str, context: ssl.SSLContext) -> str:
    """What a registry gives to those who do not say who they are; empty where it gives them nothing."""
    words = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if not challenge.lower().startswith("bearer ") or "realm" not in words:
        return ""
    query = urllib.parse.urlencode({"service": words.get("service", ""), "scope": f"repository:{name}:pull"})
    status, _, text = fetch(f"{words['realm']}?{query}", "GET", {}, context)
    said: dict[str, str] = json.loads(text) if status == 200 else {}
    return said.get("token") or said.get("access_token") or ""


def missing(place: str, name: str, digest: str, context: ssl.SSLContext) -> str:
    """Why ``place`` cannot be asked or does not have the image; empty when it has, or wants a login."""
    url = f"{place}/v2/{name}/manifests/{digest}"
    try:
        status, headers, _ = fetch(url, "HEAD", {"Accept": KINDS}, context)
        if status == 401 and (key := token(headers.get("WWW-Authenticate", ""), name, context)):
            status, _, _ = fetch(url, "HEAD", {"Accept": KINDS, "Authorization": f"Bearer {key}"}, context)
    except (OSError, ValueError) as error:
        return f"{place} {UNASKED} ({getattr(error, 'reason', error)})"
    if status == 404:
        return f"{place} has no {name} with this digest"
    # A login is the engine's, and who is asked too often will not be later.
    return "" if status in (200, 401, 403, 429) else f"{place} answers with status {status}"


def main() -> int:
    """Ask one after another until somebody has it."""
    image, question = sys.argv[1], json.loads(sys.argv[2])
    registry, name, digest = parts(image)
    context = ssl.create_default_context()
    if question["unverified"] or is_insecure(registry, question["insecure"]):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reasons = []
    for place in places(registry, question):
        why = missing(place, name, digest, context)
        if not why:
            return 0
        if registry != HUB and UNASKED not in why:
            reasons = [why]
            break
        reasons.append(why)
    print(f"engine_base_image: {image}: {', and '.join(reasons)}; set engine_base_image or engine_registry_mirrors")
    return 1


if __name__ == "__main__":
    sys.exit(main())
