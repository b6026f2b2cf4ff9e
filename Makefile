# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV ?= .venv
# PYTHON=/path/to/python makes the environment of that one; else the first that tools/python.sh finds
PYTHON ?=
# more for pytest, e.g. make test ARGS='tests/images -x'
ARGS ?=
# processes that share the tests; WORKERS=0 for a debugger
WORKERS ?= 2
RUN := $(VENV)/bin
PYTEST := $(RUN)/python -m pytest -n $(WORKERS)

.PHONY: help venv dev lock lithops-examples demo test test-latest test-fast test-python test-engine test-ministack ministack record-operations lint lint-infra format coverage soak bench engine engine-down clean scale browser

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: # what users get, and what the tests and the tools need, in the versions of locks/development.txt
	@tools/venv.sh $(VENV) $(PYTHON)

dev: venv

# --universal: one lock for every platform and each Python from 3.11 on. It names no index and no file of this machine.
COMPILE = tools/uv.sh $(VENV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(ARGS)

lock: venv ## locks/ anew where the requirements changed; make lock ARGS=--upgrade takes the newest versions
	@$(COMPILE) --extra dev setup.py --output-file locks/development.txt >/dev/null
	@echo 'checkov>=3.2,<4' | $(COMPILE) - --output-file locks/checkov.txt >/dev/null
	@echo 'ministack==1.5.33' | $(COMPILE) - --output-file locks/ministack.txt >/dev/null

lithops-examples: venv ## Lithops' public example scripts (EXAMPLES=FOLDER) on the offline AWS, with their imports changed
	@$(RUN)/python tools/lithops_examples.py $(EXAMPLES)

demo: venv ## a Covalent workflow on an AWS that runs on this machine; no account, and no Docker engine needed
	@$(RUN)/python examples/demo.py

test: venv ## every test that can run here; says which can't (no Docker engine: `make engine`)
	@$(PYTEST) $(ARGS)

test-latest: ## the tests with the newest releases that setup.py allows, in .venv-latest; ARGS as for make test
	@tools/venv.sh --latest .venv-latest $(PYTHON)
	@.venv-latest/bin/python -m pytest $(ARGS)

test-fast: venv ## a minute and a half: the tests that start no Docker engine, Covalent server, Terraform or offline AWS
	@$(PYTEST) -m "not engine and not server and not terraform and not cloud" $(ARGS)

test-python: venv ## that, and what else may differ from one Python to another
	@$(PYTEST) -m "not engine and not server and not terraform and (not cloud or pythons)" $(ARGS)

test-engine: venv ## the tests with a Docker engine only
	@REQUIRE_ALL=1 $(PYTEST) -m engine $(ARGS)

ministack: venv ## MiniStack, a second AWS emulator, into an environment of its own
	@test -x .venv-ministack/bin/python || tools/uv.sh $(VENV) venv --quiet --python $(RUN)/python .venv-ministack
	@tools/uv.sh $(VENV) pip sync --quiet --compile-bytecode --python .venv-ministack/bin/python locks/ministack.txt

test-ministack: ministack ## the conformance tests on MiniStack, with our Batch in front of it, and on the offline AWS
	@REQUIRE_ALL=1 $(RUN)/python -m pytest -q tests/conformance $(ARGS)

record-operations: ministack ## tests/recorded_operations.json anew
	@RECORD_OPERATIONS=1 $(RUN)/python -m pytest -q tests/conformance $(ARGS)

lint: dev ## ruff and mypy --strict
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy

lint-infra: venv ## a security linter over assets/infra; each exception is explained where it is made
	@test -x .venv-checkov/bin/python || tools/uv.sh $(VENV) venv --quiet --python $(RUN)/python .venv-checkov
	@tools/uv.sh $(VENV) pip sync --python .venv-checkov/bin/python locks/checkov.txt
	@.venv-checkov/bin/checkov --directory assets/infra --framework terraform --skip-download --compact --quiet

format: dev ## ruff's formatting and its safe repairs
	@$(RUN)/ruff check --fix .
	@$(RUN)/ruff format .

coverage: venv ## the tests, and which lines they did not reach
	@rm -f .coverage .coverage.*
	@$(RUN)/coverage run -m pytest $(ARGS)
	@$(RUN)/coverage combine --quiet
	@$(RUN)/coverage report

soak: venv ## many tasks while everything goes wrong that can; make soak ARGS='--seed 7 --tasks 500 --engine docker'
	@$(RUN)/python -m tests.faults.soak --runs 3 $(ARGS)
	@for of in executor aws server; do $(RUN)/python -m tests.faults.signals $$of --moments 50 || exit 1; done
	@$(RUN)/python -m tests.faults.matrix
	@for s in 2 10 150; do $(RUN)/python -m tests.faults.matrix --only outage --outage $$s --tasks 150 || exit 1; done
	@$(RUN)/python -m tests.faults.clock_steps --moments 10
	@$(RUN)/python -m tests.faults.full_disk
	@$(RUN)/python -m tests.faults.fuzz --examples 20000
	@$(RUN)/pip install --quiet atheris && $(RUN)/python -m tests.faults.fuzz --atheris 600
	@SOAK=1 $(RUN)/python -m pytest -q tests/check tests/faults/test_outages.py tests/faults/test_late_jobs.py tests/tasks/test_batching.py tests/pool/test_resumed.py tests/pool/test_integrations.py tests/pool/test_cpython_suite.py tests/pool/test_sweep_notebook.py

scale: venv ## 10,000 and 100,000 calls of a pool, with the client's memory and requests
	@$(RUN)/python -m benchmarks.pool_scale $(ARGS)

bench: venv ## the numbers of docs/numbers.md, measured here
	@$(RUN)/python benchmarks/run.py $(ARGS)

browser: ## Debian's Chromium and axe-core, for the tests of the report; Debian, root
	@needed=; command -v chromium >/dev/null || needed=chromium; command -v npm >/dev/null || needed="$$needed npm"; \
	test -z "$$needed" || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $$needed >/dev/null; }
	@mkdir -p .browser && cd .browser && test -f package/axe.min.js || { npm pack --silent axe-core@4.14.1 && tar xzf axe-core-4.14.1.tgz; }

engine: ## a Docker engine from Debian's packages (root; without systemd too)
	@tools/engine.sh up

engine-down: ## stops the engine that `make engine` started, and no other
	@tools/engine.sh down

clean: ## removes what the other targets made in this folder
	@rm -rf .browser .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
