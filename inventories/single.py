"""Everything on one host. Copy this file, put your host's name or address in, and run it."""

_gateway = ("gateway.example.org", {"ssh_user": "root"})

postgres = [_gateway]
redis = [_gateway]
ollama = [_gateway]
litellm = [_gateway]
