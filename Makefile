# Everything runs in .venv, which make creates. Another Python: make PYTHON=python3.12 ...
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help venv demo run examples test test-secure test-all test-lowest chaos simulate bench lint typecheck
.PHONY: test-page screenshots audit stubs stubs-check docs docs-check site dist clean

# What a submission must pass. Each test has a time limit of its own (setup.cfg). More than half of the time tests wait, for a lease to
# end or a watch to tell, so one file more than there are cores runs at a time, and fewer on a slow machine (tests/support/machine.py):
# WORKERS=0 for one after another. They start in the order of their names. One more worker, at low priority, takes files that compute or are patient: see tests/support/quiet_worker.py. Tests that
# measure run alone, afterwards; only their files are collected again. It is no error when ARGS leave one of the two parts without a test.
WORKERS ?= $(or $(shell $(PYTHON) tests/support/machine.py 2>/dev/null),logical)
TOGETHER = tests -m "not long and not alone" --numprocesses $(QUIET_AND_OTHERS) --dist loadfile --no-loadscope-reorder
QUIET_AND_OTHERS = $(if $(filter-out 0 auto logical,$(WORKERS)),$(shell echo $$(($(WORKERS) + 1))) --quiet-worker,$(WORKERS))
ALONE    = $(shell grep -rlE --include='test_*.py' 'mark\.alone' tests) -m "not long and alone"
run_tests = $(1) $(TOGETHER) $(2) $(ARGS) $(MAY_BE_NONE) && $(1) $(ALONE) $(2) $(ARGS) $(MAY_BE_NONE)
MAY_BE_NONE = $(if $(strip $(ARGS)),|| [ $$? = 5 ])
# What pytest makes of the tests' asserts is kept: else each worker, and each later run, makes it anew.
unexport PYTHONDONTWRITEBYTECODE
# Another etcd for the tests: make test ETCD=/path/to/etcd
ifdef ETCD
export PATH := $(dir $(abspath $(ETCD))):$(PATH)
endif
SUPPORTED := 3.11 3.12 3.13 3.14

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## create .venv and install everything into it (done by the other targets, too)

$(STAMP): setup.cfg setup.py
	@command -v $(PYTHON) >/dev/null || { echo "make needs Python 3.11 or newer; '$(PYTHON)' is not there. Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "== creating $(VENV) with $$($(PYTHON) -V)"; $(PYTHON) -m venv $(VENV) || { echo "no virtual environment: is the venv module installed (Debian: python3-venv)?"; exit 1; }; }
	@echo "== installing discordha with what its tests need into $(VENV): a minute or two, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[operations,testing,speed,dev]'
	@echo "== installing what voice needs"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[voice]' || echo "== NOTE: voice could not be installed here (PyNaCl or its like has no build for this machine); all else works without"
	@touch $@
	@echo "== $(VENV) is ready"

demo: venv ## three replicas on a local Discord and etcd, killed and paused; ends with a verdict
	@$(BIN)/python -m discordha demo $(ARGS)

run: venv ## examples/ping.py on the real Discord (BOT_TOKEN=...), with an etcd of its own if none is set
	@$(BIN)/python -m discordha.testing.run_local examples/ping.py

examples: venv ## every example on the local Discord
	$(PYTEST) tests/integration/examples/test_examples.py -v $(ARGS)

test: venv ## unit, integration and short fault tests
	$(call run_tests,$(PYTEST))

test-secure: venv ## the same on three etcd members with mutual TLS and a least-privilege user
	$(call run_tests,$(PYTEST),--local-etcd=secure)

test-all: ## the same with every supported Python that is installed, each in a .venv of its own
	@for version in $(SUPPORTED); do \
	  if command -v python$$version >/dev/null; then \
	    $(MAKE) --no-print-directory PYTHON=python$$version VENV=$(VENV)-$$version test || exit 1; \
	  else echo "== python$$version is not installed here: not tested"; fi; \
	done

test-lowest: ## the tests with the oldest dependencies that setup.cfg allows, in an environment of their own
	@$(MAKE) --no-print-directory VENV=$(VENV)-lowest venv
	@echo "== going back to the oldest dependencies"
	@$(VENV)-lowest/bin/python tools/lowest.py setup.cfg > $(VENV)-lowest/lowest.txt
	@$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-lowest/lowest.txt
	$(call run_tests,$(VENV)-lowest/bin/python -m pytest)

# Needs a browser besides: Debian's chromium, or CHROMIUM=path. PAGE_SECONDS=600 makes the faults take that long.
test-page: venv ## the operator's page in Chromium: agreement with status, actions, accessibility; frames in out/page/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	@PYTHONPATH=tests/page $(BIN)/python -c 'import sys, browser; sys.exit(0 if browser.chromium() else browser.MISSING)'
	$(PYTEST) tests/page -m long -s $(ARGS)

screenshots: venv ## the operator's page in both themes, for the docs (needs Chromium, as test-page does)
	@PAGE_SHOTS=1 PAGE_CURVES=60 $(MAKE) --no-print-directory test-page ARGS='-k "both_themes or screenshots"'

chaos: venv ## long fault tests (CHAOS_SECONDS=600, CHAOS_SEED=..., CHAOS_OVERLAP=1)
	$(PYTEST) tests/chaos -m long --timeout 0 -s $(ARGS)

SEEDS ?= 1000
REPLICAS ?= 3
simulate: venv ## whole clusters in virtual time (SEEDS=1000, REPLICAS=3, ARGS='--seed 7' repeats one)
	PYTHONPATH=.:tests:tests/support $(BIN)/python -m simulation --mix --short --seeds $(SEEDS) --replicas $(REPLICAS) $(ARGS)

bench: venv ## all benchmarks as one table: minutes (BENCH=fleet,latency picks some; BENCH=steady is one more)
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

lint: venv ## ruff: rules and format; import-linter: which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

typecheck: venv ## mypy --strict
	$(BIN)/mypy --strict discordha examples/cogs

audit: venv ## bandit on the code, pip-audit on what is installed (asks the advisory database on the network)
	$(BIN)/bandit --quiet --ini .bandit --recursive discordha
	$(BIN)/python -m pip_audit --skip-editable --progress-spinner off

stubs: venv ## write the type stubs of the blocking views anew
	$(BIN)/python tools/stubs.py

stubs-check: venv ## fail when the type stubs are not what make stubs writes
	$(BIN)/python tools/stubs.py --check

docs: venv ## write the API reference and the events table anew
	$(BIN)/python tools/docs.py

docs-check: venv ## fail when the written parts of docs/ are not what make docs writes
	$(BIN)/python tools/docs.py --check

site: venv ## build the docs as a site into build/site: strict, offline (needs npm for mermaid)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[site]'
	$(BIN)/python tools/site.py

dist: venv ## build sdist and wheel twice, compare and check them, run the demo from the wheel
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	$(BIN)/python tools/dist.py $(ARGS)

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) $(VENV)-lowest $(SUPPORTED:%=$(VENV)-%) build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
