# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV ?= .venv
# PYTHON=/path/to/python makes the environment of that one; else the first that tools/python.sh finds
PYTHON ?=
# more for pytest, e.g. make test ARGS='tests/image -x'
ARGS ?=
# processes that share the tests; WORKERS=0 for a debugger
WORKERS ?= 2
RUN := $(VENV)/bin
PYTEST := $(RUN)/python -m pytest -n $(WORKERS)

.PHONY: help venv dev demo test test-fast test-python test-engine lint lint-infra format coverage soak bench engine engine-down clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: # what users get, and what the tests need
	@tools/venv.sh $(VENV) test $(PYTHON)

dev: # the same, and the tools that read the code
	@tools/venv.sh $(VENV) dev $(PYTHON)

demo: venv ## a Covalent workflow on an AWS that runs on this machine; no account, and no Docker engine needed
	@$(RUN)/python examples/demo.py

test: venv ## every test that can run here; says which can't (no Docker engine: `make engine`)
	@$(PYTEST) $(ARGS)

test-fast: venv ## a minute and a half: the tests that start no Docker engine, Covalent server, Terraform or offline AWS
	@$(PYTEST) -m "not engine and not server and not terraform and not cloud" $(ARGS)

test-python: venv ## that, and what else may differ from one Python to another
	@$(PYTEST) -m "not engine and not server and not terraform and (not cloud or pythons)" $(ARGS)

test-engine: venv ## the tests with a Docker engine only
	@REQUIRE_ALL=1 $(PYTEST) -m engine $(ARGS)

lint: dev ## ruff and mypy --strict
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy

lint-infra: venv ## a security linter over assets/infra; each exception is explained where it is made
	@test -x .venv-checkov/bin/checkov || { $(RUN)/python -m venv .venv-checkov && .venv-checkov/bin/pip install -q 'checkov>=3.2,<4'; }
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

bench: venv ## the numbers of docs/numbers.md, measured here
	@$(RUN)/python benchmarks/run.py $(ARGS)

engine: ## a Docker engine from Debian's packages (root; without systemd too)
	@tools/engine.sh up

engine-down: ## stops the engine that `make engine` started, and no other
	@tools/engine.sh down

clean: ## removes what the other targets made in this folder
	@rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
