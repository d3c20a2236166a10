"""Database, cache, inference and two gateways on hosts of their own. The addresses are for documentation."""

postgres = [("db-1", {"ssh_hostname": "192.0.2.10", "ssh_user": "root"})]
redis = [("cache-1", {"ssh_hostname": "192.0.2.11", "ssh_user": "root"})]
ollama = [("llm-1", {"ssh_hostname": "192.0.2.12", "ssh_user": "root"})]
litellm = [
    ("gw-1", {"ssh_hostname": "192.0.2.21", "ssh_user": "root"}),
    ("gw-2", {"ssh_hostname": "192.0.2.22", "ssh_user": "root"}),
]
