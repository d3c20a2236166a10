"""How a host is brought to its state: files here are run by pyinfra, folders here are imported."""
