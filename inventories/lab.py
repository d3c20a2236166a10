"""The disposable hosts that tests/lab started, by their labels. PORTCULLIS_LAB names the lab; default: demo.

Unlike a real inventory it has settings: where the lab's mirror is, is known only while the lab runs, and pyinfra reads
every file of group_data/ on every run, also on the runs of people who have no lab.
"""

import os as _os

from tests.lab.inventory import groups as _groups
from tests.lab.inventory import settings as _settings
from tests.lab.inventory import suite_of as _suite_of
from tests.lab.lab import Lab as _Lab

_lab = _os.environ.get("PORTCULLIS_LAB", "demo")
if _os.environ.get("PORTCULLIS_OFFICIAL"):
    # The official archive and engines, with the smallest models that are real.
    _data = {
        "ollama_models": ["smollm2:135m"],
        "ollama_embedding_models": ["all-minilm"],
        "extra_ca_certificates": [str(path) for path in _Lab.ca_certificates()],
    }
else:
    _data = {
        **_settings(suite=_suite_of(_lab)),
        "ollama_models": ["tiny"],
        "ollama_embedding_models": ["tiny-embed"],
        "litellm_prisma_engine_runtime": "node",
    }
# A host of the lab sees the whole machine's processors and memory, so the size is stated.
_data["preset"] = "small"
if _os.environ.get("PORTCULLIS_RUNTIME"):
    _data["runtime"] = _os.environ["PORTCULLIS_RUNTIME"]

_of = {
    # Whoever is not root on a host becomes it with sudo, as on most people's machines.
    group: [(name, {**_data, **data, "_sudo": data["ssh_user"] != "root"}) for name, data in hosts]
    for group, hosts in _groups(_lab).items()
}
postgres = _of.get("postgres", [])
redis = _of.get("redis", [])
ollama = _of.get("ollama", [])
litellm = _of.get("litellm", [])
backup = _of.get("backup", [])
edge = _of.get("edge", [])
