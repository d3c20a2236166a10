"""Find what is wrong with a LiteLLM deployment, and change nothing.

Files:  python -m deploys.audit config.yaml --env .env --unit litellm.service
Hosts:  pyinfra INVENTORY deploys/audit.py
"""

# pyinfra executes this file in a namespace without a name; the name of a module it gets from builtins is not ours.
if "__name__" not in globals():
    from deploys.auditing.live import audit_host

    audit_host()
elif __name__ == "__main__":
    import sys

    from deploys.auditing.cli import main

    sys.exit(main())
