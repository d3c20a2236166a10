"""The probes of the models' servers, one request for each server however many models it has."""

import asyncio
import json
from collections.abc import Iterable

import aiohttp

from portcullis_health.config import Model
from portcullis_health.memory import Finding
from portcullis_health.web import fetch
from portcullis_health.words import describe

ASSUMED = Finding(True, "assumed", "not probed, because probing it would cost money or prove nothing; assumed usable")


async def probe_models(session: aiohttp.ClientSession, models: Iterable[Model], timeout: float) -> dict[str, Finding]:
    """Find out which models can be used, within `timeout` seconds, and return a finding for each name."""
    servers: dict[tuple[str, str], list[Model]] = {}
    findings: dict[str, Finding] = {}
    for model in models:
        if model.kind == "static":
            findings[model.name] = ASSUMED
        else:
            servers.setdefault((model.kind, model.url), []).append(model)
    probes = [
        (_ollama if kind == "ollama" else _http)(session, url, members, timeout)
        for (kind, url), members in servers.items()
    ]
    for found in await asyncio.gather(*probes):
        findings.update(found)
    return findings


async def _ollama(session: aiohttp.ClientSession, url: str, models: list[Model], timeout: float) -> dict[str, Finding]:
    try:
        status, body, latency = await fetch(session, f"{url}/api/tags", timeout)
        if status != 200:
            return _all(models, f"Ollama answered HTTP {status}", latency)
        listed = {
            item[key]
            for item in json.loads(body)["models"]
            for key in ("name", "model")
            if isinstance(item, dict) and key in item
        }
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
        return _all(models, f"Ollama: {describe(error, timeout)}")
    return {
        model.name: Finding(True, "usable", f"Ollama lists {model.tag}", latency)
        if model.tag in listed
        else Finding(False, "unusable", f"Ollama answers but does not list {model.tag}", latency)
        for model in models
    }


async def _http(session: aiohttp.ClientSession, url: str, models: list[Model], timeout: float) -> dict[str, Finding]:
    try:
        status, _, latency = await fetch(session, url, timeout)
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        return _all(models, f"its server: {describe(error, timeout)}")
    if status >= 500:
        return _all(models, f"its server answered HTTP {status}", latency)
    return {model.name: Finding(True, "usable", "its server answers", latency) for model in models}


def _all(models: list[Model], detail: str, latency_ms: float | None = None) -> dict[str, Finding]:
    return {model.name: Finding(False, "unusable", detail, latency_ms) for model in models}
