"""Every kind of model of the catalogue behind a gateway: what is sent, and what a change of one entry does."""

from __future__ import annotations

import json

import pytest

from deploys.components.litellm.component import CONFIG
from tests.host import support_double
from tests.host.lab.conftest import Deployed
from tests.host.lab.test_changes import alive_url
from tests.host.support_double import APP_KEY, BASE, Double
from tests.host.support_http import Gateway, Reply
from tests.host.support_lab import SITE, main_pid, run
from tests.host.support_watch import polling
from tests.lab.doubles.expected import ANSWER, KEYS, ROWS, Expected

GATEWAY = "litellm.service"


def said(row: Expected, reply: Reply) -> str:
    """The text of an answer, of one piece or many."""
    if row.call == "completion":
        return str(reply.json()["choices"][0]["text"])
    if row.call == "chat":
        return str(reply.json()["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: {")]
    return "".join(piece["delta"].get("content") or "" for line in lines for piece in json.loads(line)["choices"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_provider_is_sent_what_it_understands(routed: Double, row: Expected) -> None:
    routed.reset()
    path, body = row.request()
    reply = Gateway(routed.server).ask(path, body)
    assert reply.status == 200, reply
    # Background health checks ask the same server; the answer to this request is one of the records.
    records = [record for record in routed.seen() if record["path"] == row.path]
    assert records, routed.seen()
    assert [] in [row.wrong(record) for record in records], row.wrong(records[-1])
    assert row.call in ("embedding", "rerank") or ANSWER in said(row, reply)


def test_a_prompt_longer_than_ollamas_context_is_not_sent(routed: Double) -> None:
    (row,) = [row for row in ROWS if "num_ctx" in row.entry and row.call == "chat"]
    routed.reset()
    reply = Gateway(routed.server).chat(row.entry["name"], text="word " * row.entry["num_ctx"] * 2)
    assert reply.status == 400 and "context window" in reply.text.lower().replace("contextwindow", "context window")
    assert routed.seen(model=row.entry["model"]) == []


def test_a_real_llama_cpp_answers_chats_and_embeddings(routed: Double) -> None:
    """The double speaks its protocol; this is the program itself, from the Ollama archive."""
    server = routed.server
    server.out(
        "model=$(ls -S /var/lib/ollama/models/blobs/sha256-* | head -n 1); "
        "for what in 'chat 9611' 'embed 9612 --embeddings --pooling mean'; do set -- $what; name=$1 port=$2; shift 2; "
        "systemd-run --quiet --collect --unit=lab-llama-$name /opt/ollama/current/lib/ollama/llama-server -m $model "
        "--alias tiny.gguf --host 127.0.0.1 --port $port $*; done; "
        "for port in 9611 9612; do for i in $(seq 100); do curl -fsS --noproxy '*' http://127.0.0.1:$port/health "
        ">/dev/null 2>&1 && break; sleep 0.2; done; done"
    )
    more = [
        {"name": "cpp-chat", "provider": "llamacpp", "model": "tiny.gguf", "api_base": "http://127.0.0.1:9611/v1"},
        {
            "name": "cpp-embed", "provider": "llamacpp", "model": "tiny.gguf", "mode": "embedding",
            "api_base": "http://127.0.0.1:9612/v1",
        },
    ]  # fmt: skip
    wanted = support_double.settings()
    wanted["litellm_models"] = [*wanted["litellm_models"], *more]  # type: ignore[misc]
    master = main_pid(server, GATEWAY)
    with polling({"one more model": alive_url(server)}) as failures:
        done = run("ht-trixie", SITE, "--diff", environment=support_double.ENVIRONMENT, **wanted)
    try:
        assert done.status == 0, done.problem
        assert "reload litellm.service" in done.log and main_pid(server, GATEWAY) == master, done.problem
        assert not failures["one more model"]
        assert not [secret for secret in [*KEYS.values(), APP_KEY] if secret in done.log], "a secret was shown"
        gateway = Gateway(server)
        chat = gateway.chat("cpp-chat")
        assert chat.status == 200 and chat.json()["usage"]["completion_tokens"] > 0, chat
        vector = gateway.ask("/v1/embeddings", {"model": "cpp-embed", "input": "hello"})
        assert vector.status == 200 and any(vector.json()["data"][0]["embedding"]), vector
    finally:
        server.sh("systemctl stop lab-llama-chat lab-llama-embed")


def test_a_change_of_one_entry_is_shown_and_reloaded(trixie: Deployed, routed: Double) -> None:
    server = routed.server
    wanted = support_double.settings()
    entries = [dict(entry) for entry in wanted["litellm_models"]]  # type: ignore[attr-defined]
    next(entry for entry in entries if entry["name"] == "spare")["timeout"] = 77
    wanted["litellm_models"] = entries
    master = main_pid(server, GATEWAY)
    done = run(trixie.name, SITE, environment=support_double.ENVIRONMENT, **wanted)
    assert done.status == 0, done.problem
    assert main_pid(server, GATEWAY) == master and "reload litellm.service" in done.log
    assert "timeout: 77" in server.out(f"cat {CONFIG}")
    assert Gateway(server).chat("spare").status == 200


def test_groups_have_other_names_and_a_hidden_one_is_not_listed(routed: Double) -> None:
    gateway = Gateway(routed.server)
    for name in ("code", "secret-code"):
        routed.reset()
        assert gateway.chat(name).status == 200
        assert len(routed.seen(model="spare")) == 1, name
    listed = {model["id"] for model in gateway.ask("/v1/models").json()["data"]}
    assert "code" in listed and "secret-code" not in listed


def test_the_teams_key_works_for_its_model_and_no_other(routed: Double) -> None:
    gateway = Gateway(routed.server)
    assert gateway.chat("spare", key=APP_KEY).status == 200
    assert gateway.chat("flaky", key=APP_KEY).status in (401, 403)
    assert gateway.chat("spare", key=APP_KEY[:-1] + "x").status == 401


def test_the_next_run_finds_teams_keys_and_models_as_wanted(trixie: Deployed, routed: Double) -> None:
    settings, environment = support_double.settings(), support_double.ENVIRONMENT
    assert run(trixie.name, SITE, environment=environment, **settings).status == 0
    second = run(trixie.name, SITE, environment=environment, **settings)
    assert second.totals["no_change"] == second.totals["hosts"] > 0, second.problem
    assert BASE in routed.server.out(f"cat {CONFIG}")
