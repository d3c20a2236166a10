# Thin: each target is a line or two. `make` alone lists them.
INV ?= inventories/lab.py
PY := .venv/bin/python
LAB ?= demo
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test programs check lab-up lab-down secrets rotate verify audit lock advisories bench docs venv

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/.ready
.venv/.ready: uv.lock pyproject.toml scripts/bootstrap
	@scripts/bootstrap

demo: venv ## A gateway on a disposable local host, deployed over SSH, checked and asked (OFFICIAL=1: official Ollama and engines)
	@OFFICIAL=$(OFFICIAL) $(PY) scripts/demo.py

demo-down: venv ## Remove the demo's host
	@$(PY) -m tests.lab down demo

test: programs check ## Every test: check, and the host tier on disposable hosts (but for some that are long, README.md)
	PORTCULLIS_THOROUGH=1 $(PY) -m pytest -q -n 2 tests/unit -m thorough
	-$(PY) -m tests.lab mirror
	litellm=$$($(PY) -m tests.lab litellm) && PORTCULLIS_LITELLM_PYTHON=$$litellm $(PY) scripts/host_tests.py

programs: venv
	-@$(PY) -m tests.lab programs

check: export PYTHONDONTWRITEBYTECODE =
check: venv ## Lint, types, unit and plan tests; needs no root, about three minutes on two cores
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PY) -m pytest -q -n 3 --dist loadgroup tests/plan tests/unit

lab-up: venv ## Disposable hosts: make lab-up LAB=demo SUITE=trixie TOPOLOGY=single
	$(PY) -m tests.lab up $(LAB) --suite $(or $(SUITE),trixie) --topology $(or $(TOPOLOGY),single)

lab-down: venv ## Remove a lab's hosts: make lab-down LAB=demo
	$(PY) -m tests.lab down $(LAB)

secrets: venv ## Strong secrets for an inventory's first deploy: make secrets INV=inventories/production.py
	@$(PY) scripts/make_secrets.py $(INV)

rotate: venv ## Another value for a secret: make rotate INV=inventories/production.py SECRET=LITELLM_MASTER_KEY
	@$(PY) scripts/rotate_secrets.py $(INV) "$(SECRET)"

verify: venv ## Ask everything an inventory's hosts run, as tests: make verify INV=inventories/production.py
	$(PY) -m pytest tests/host --inventory $(INV)

audit: venv ## What is wrong with a LiteLLM deployment's files: make audit CONFIG=config.yaml ARGS="--env .env"
	@$(PY) -m deploys.audit $(CONFIG) $(ARGS)

lock: venv ## A hash-locked requirement set for another LiteLLM release: make lock VERSION=1.106.2
	@PATH=$(CURDIR)/.venv/bin:$$PATH $(PY) scripts/lock.py $(VERSION)

advisories: venv ## Ask a vulnerability service about every locked Python package; what is new goes into scripts/advisories.toml
	@$(PY) scripts/advisories.py

bench: venv ## Two ways to renew workers, measured side by side on the demo's host
	@$(PY) scripts/bench.py

docs: venv ## docs/settings.md, the rules of docs/audit.md and the controls of docs/hardening.md, from the code
	@$(PY) scripts/gen_settings_docs.py
	@$(PY) scripts/gen_hardening_docs.py
	@$(PY) -m deploys.auditing.docs
