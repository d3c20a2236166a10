"""The groups of a spread-out gateway on hosts that do not exist: a plan without a machine.

A fake host answers every command with success and no output, except for the questions below: it is a bare Debian 13
with 4 processors and 8 GiB, on which nothing is installed and nothing runs.
"""

_answers = {
    "/etc/os-release": ["ID=debian", 'VERSION_ID="13"', "ARCH=x86_64", "INIT=systemd"],
    "nproc; awk": ["4", "8192"],
    "look() {": ["active\tinactive", "enabled\tdisabled"],
    # Room for images, wherever they are built.
    "left() { d=": ["amd64 9000 9000", "0", "1"],
    "dpkg-query -W": ["curl"],
    "date +%s%N": ["yes", "0", "1"],
    # And who waits for a change to be confirmed wants to see an end.
    "systemctl is-active portcullis-": ["inactive", "asked"],
    # Nothing of hardening is left to be undone.
    "[ ! -e /var/lib/portcullis/hardening/first.json ]": ["yes"],
}


def _host(name: str, address: str) -> tuple[str, dict[str, object]]:
    data = {
        "fake_delay": 0,
        "fake_delay_jitter": 0,
        "fake_responses": _answers,
        "private_address": address,
        # As the registry states them; it is not asked for a plan.
        "ollama_models_size_bytes": {"llama3.2:3b": 2_019_393_189, "nomic-embed-text": 274_302_450},
    }
    return (f"@fake/{name}", data)


postgres = [_host("db", "192.0.2.10")]
redis = [_host("cache", "192.0.2.11")]
ollama = [_host("llm", "192.0.2.12")]
litellm = [_host("gw-1", "192.0.2.21"), _host("gw-2", "192.0.2.22")]
