"""The main job on a disposable local host: deploy a gateway over SSH, check it, use it, and show how to go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
INVENTORY = "inventories/lab.py"
SECRETS = ROOT / "secrets" / "lab.env"
console = Console(highlight=False)
# A proxy of this machine's for the internet does not know the lab's addresses.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CURL = "curl --noproxy '*'"


def heading(text: str) -> None:
    console.rule(f"[bold]{text}", align="left")


def run(*command: str) -> None:
    """Run a command of the toolkit, shown as a person would type it; end the demo when it fails."""
    console.print(f"[bold]$[/] {' '.join(command)}")
    binary = ROOT / ".venv" / "bin" / command[0]
    done = subprocess.run([str(binary) if binary.exists() else command[0], *command[1:]], cwd=ROOT)
    if done.returncode:
        fail(f"that ended with exit status {done.returncode}")


def fail(sentence: str) -> NoReturn:
    console.print(f"[red]{sentence}[/]; the host is left as it is, to look at")
    sys.exit(1)


def remains(lab: str) -> bool:
    """Whether the lab has hosts already, running or not."""
    from docker.errors import DockerException

    from tests.lab import engine
    from tests.lab.cache import LabError
    from tests.lab.lab import hosts

    try:
        return bool(hosts(engine.connect(), lab))
    except (LabError, DockerException):
        return False  # starting the lab says what is wrong


def secret(name: str) -> str:
    lines = SECRETS.read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))


def ask(base: str, path: str, key: str, body: dict[str, Any] | None = None) -> Any:
    """One request to the gateway; the answer as JSON."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(base + path, json.dumps(body).encode() if body is not None else None, headers)
    with OPENER.open(request, timeout=120) as answer:
        return json.load(answer)


def stream(base: str, key: str, model: str) -> list[str]:
    """The pieces of a streamed chat answer."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(body).encode(), headers)
    pieces = []
    with OPENER.open(request, timeout=120) as answer:
        for line in answer:
            text = line.decode().strip()
            if text.startswith("data: {"):
                choices = json.loads(text[6:]).get("choices") or [{}]
                pieces.append(choices[0].get("delta", {}).get("content") or "")
    return [piece for piece in pieces if piece]


def use(base: str, chat: str, embedding: str) -> None:
    """Use the gateway with a virtual key, as a team's program would."""
    master = secret("LITELLM_MASTER_KEY")
    made = ask(
        base, "/key/generate", master, {"duration": "1h", "key_alias": f"demo-{int(time.time())}", "rpm_limit": 60}
    )
    key = made["key"]
    console.print("a virtual key of its own, which PostgreSQL has as a hash")
    body = {"model": chat, "messages": [{"role": "user", "content": "hello"}]}
    answer = ask(base, "/v1/chat/completions", key, body)
    console.print(
        f"chat:       {answer['choices'][0]['message']['content']!r}, {answer['usage']['total_tokens']} tokens"
    )
    pieces = stream(base, key, chat)
    console.print(f"stream:     {len(pieces)} pieces: {''.join(pieces)!r}")
    vector = ask(base, "/v1/embeddings", key, {"model": embedding, "input": "hello"})["data"][0]["embedding"]
    console.print(f"embedding:  {len(vector)} numbers, the first {vector[0]:.3f}")
    cached = [ask(base, "/v1/chat/completions", key, {**body, "cache": {"use-cache": True}})["id"] for _ in range(2)]
    if cached[0] != cached[1]:
        fail("cache:      asked twice, two answers: Redis keeps none")
    console.print("cache:      asked twice, one answer, from Redis")
    console.print("spend:      ", end="")
    for _ in range(40):
        logs = ask(base, f"/spend/logs?api_key={made['token']}", master)
        if len(logs) >= 5:
            console.print(f"{len(logs)} rows in PostgreSQL")
            return
        time.sleep(1)
    fail("fewer than 5 rows in PostgreSQL after 40 s")


def main() -> int:
    began = time.monotonic()
    official = os.environ.get("OFFICIAL", "") not in ("", "0")
    os.environ["PORTCULLIS_OFFICIAL"] = "1" if official else ""
    os.environ.setdefault("PORTCULLIS_LAB", "demo")
    if os.geteuid() and not os.access("/var/run/docker.sock", os.W_OK):
        console.print("the demo's hosts are containers: run it as root, or as a user who may use Docker")
        return 1
    heading("A disposable Debian host with systemd")
    lab = os.environ["PORTCULLIS_LAB"]
    if not SECRETS.exists() and remains(lab):
        console.print("the demo's host is from another checkout, whose secrets are not here: it is made anew")
        run("python", "-m", "tests.lab", "down", lab)
    run("python", "-m", "tests.lab", "up", lab, *(["--hosts-only"] if official else []))
    heading("Secrets for its first deploy")
    run("python", "scripts/make_secrets.py", INVENTORY)
    heading("Deploy over SSH")
    run("pyinfra", "-y", INVENTORY, "deploys/site.py")
    heading("Ask every component whether it works")
    run("pyinfra", "-y", INVENTORY, "deploys/verify.py")
    heading("Use it")
    from tests.lab.inventory import groups

    address = groups(lab)["litellm"][0][1]["ssh_hostname"]
    base = f"http://{address}:4100"
    chat, embedding = ("smollm2-135m", "all-minilm") if official else ("tiny", "tiny-embed")
    use(base, chat, embedding)
    heading(f"Done in {time.monotonic() - began:.0f} s; now you")
    # Printed as it must be typed: rich would fold and colour it.
    print(f"""
    KEY=$(sed -n 's/^LITELLM_MASTER_KEY=//p' secrets/lab.env)

    {CURL} {base}/v1/chat/completions -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
         -d '{{"model": "{chat}", "messages": [{{"role": "user", "content": "hello"}}]}}'

    {CURL} -N {base}/v1/chat/completions -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
         -d '{{"model": "{chat}", "stream": true, "messages": [{{"role": "user", "content": "hello"}}]}}'

    {CURL} {base}/v1/embeddings -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
         -d '{{"model": "{embedding}", "input": "hello"}}'

    make demo-down                          removes the host
    README.md, "Your own host"              is the next step
""")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
