# The same commands for people and for CI. `make` alone lists them.
# Nothing is installed outside .venv, except Debian's python3-venv when it is missing and we are root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
NODES  ?= 3
SEED   ?=
COUNT  ?=
ROW    ?=
ROUNDS ?=
MATCH  ?=
JOBS   ?=
JSON   ?=
WORKLOADS ?=
KEEP   ?=
PYTEST ?=
RELEASE := build/release
# bench and tests of this repository on the compiled zetcd: -P keeps the sources in the current directory out.
COMPILED := PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(RELEASE):$(CURDIR)"
PREFER_COMPILED = $(MAKE) --no-print-directory $(RELEASE)/.stamp || { rm -rf $(RELEASE); echo "zetcd: measuring the sources"; }
CODE   := zetcd tests $(if $(wildcard bench/*.py),bench)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: $(VENV)/.run-stamp ## start a local cluster of three nodes, try it, and say what to type next
	@exec $(BIN)/zetcd local --nodes $(NODES) --demo

.PHONY: test
test: $(VENV)/.dev-stamp ## run every test, linters and type checks included
	@exec $(BIN)/python -m pytest $(PYTEST)

.PHONY: wheel
wheel: $(RELEASE)/.stamp ## build dist/*.whl with the busiest modules compiled: for production, and what `make bench` measures

.PHONY: test-compiled
test-compiled: $(VENV)/.dev-stamp $(RELEASE)/.stamp ## run those tests on the compiled modules that concern them (part of `make test`)
	@$(COMPILED) ZETCD_IS_COMPILED=1 exec $(BIN)/python -m pytest -o pythonpath= -m "not interpreted" \
	  tests/unit/test_compiled.py tests/unit/{actors,apply,gateway,lease,mvcc,raft,runtime,wal,watch} tests/datadriven \
	  tests/integration/test_single_node.py tests/integration/test_cluster_faults.py tests/integration/grpc_transport \
	  tests/integration/etcd_api/test_{http,kv,metrics,services,watch}.py $(PYTEST)

.PHONY: clients
clients: $(VENV)/.dev-stamp ## run clients that others have written: Go, Python, Node.js, Rust, Java (builds some, for minutes)
	@exec $(BIN)/python -m pytest -m clients -v tests/integration/etcd_api $(PYTEST)

.PHONY: verify
verify: $(VENV)/.dev-stamp ## gate that changes nothing: lint, format, types, imports, style
	@$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/tidy/test_tidy.py

.PHONY: fix
fix: $(VENV)/.dev-stamp ## rewrite what the linters can mend by themselves
	@$(BIN)/ruff check --fix --exit-zero $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: sim
sim: $(VENV)/.dev-stamp ## run simulated clusters (SEED=n replays one, COUNT=n runs so many from there)
	@exec $(BIN)/python -m tests.simulation --seed $(or $(SEED),1) --count $(or $(COUNT),$(if $(SEED),1,100))

.PHONY: mutants
mutants: $(VENV)/.dev-stamp ## plant known bugs in copies of the code: simulator and tests must catch each (MATCH=text JOBS=2)
	@exec $(BIN)/python -m tests.mutants $(if $(MATCH),--match "$(MATCH)") $(if $(JOBS),--jobs $(JOBS))

.PHONY: robustness
robustness: $(VENV)/.dev-stamp ## hurt real clusters and check every promise (ROW=3 ROUNDS=5 MATCH=text JSON=1 KEEP=1)
	@exec $(BIN)/python -m tests.robustness $(if $(ROW),--row $(ROW)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(MATCH),--match "$(MATCH)") $(if $(JSON),--json) $(if $(KEEP),--keep)

.PHONY: bench
bench: $(VENV)/.bench-stamp ## measure zetcd beside etcd on this machine, in ten minutes (WORKLOADS="put-100 get-100" ROUNDS=3)
	@$(PREFER_COMPILED)
	$(COMPILED) exec $(BIN)/python -m bench short $(WORKLOADS) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench-sweep
bench-sweep: $(VENV)/.bench-stamp ## measure what slow disks cost zetcd and etcd (takes half an hour)
	@$(PREFER_COMPILED)
	$(COMPILED) exec $(BIN)/python -m bench sweep

.PHONY: lock
lock: $(VENV)/.dev-stamp ## pin the dependencies anew (needs uv in .venv)
	@options="--generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 --quiet"
	$(BIN)/uv pip compile pyproject.toml --group build $$options --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group build --group dev $$options \
	  --constraints requirements.lock --output-file requirements-dev.lock
	$(BIN)/uv pip compile pyproject.toml --group build --group bench $$options \
	  --constraints requirements-dev.lock --output-file requirements-bench.lock

.PHONY: clean
clean: ## remove what was built and every cache; data directories stay
	@rm -rf $(VENV) .go-programs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	rm -f zetcd/gateway/etcd/proto/*_pb2.py zetcd/gateway/etcd/proto/*_pb2.pyi
	find zetcd tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- set-up: idempotent; a stamp is newer than what it was made from ---------------------------------

$(VENV)/.run-stamp: requirements.lock pyproject.toml hatch_build.py $(wildcard zetcd/gateway/etcd/proto/*.proto) | $(BIN)/python
	@echo "zetcd: installing what it needs to run into $(VENV)"
	$(PIP) install --require-hashes --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev-stamp: requirements-dev.lock $(VENV)/.run-stamp
	@echo "zetcd: installing what its tests need into $(VENV)"
	$(PIP) install --require-hashes --requirement requirements-dev.lock
	touch $@

$(VENV)/.bench-stamp: requirements-bench.lock $(VENV)/.run-stamp
	@echo "zetcd: installing what its benchmark needs into $(VENV)"
	$(PIP) install --require-hashes --requirement requirements-bench.lock
	touch $@

$(RELEASE)/.stamp: $(VENV)/.dev-stamp $(shell find zetcd -name '*.py' -not -name '*_pb2.py')
	@headers="import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
	if ! command -v cc >/dev/null || ! $(BIN)/python -c "$$headers"; then
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo "zetcd: installing a C compiler and Python's headers"
	    apt-get update -qq
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev >/dev/null
	  else
	    echo "zetcd: a C compiler and Python's headers are needed; as root: apt-get install gcc libc6-dev python3-dev" >&2
	    exit 1
	  fi
	fi
	echo "zetcd: compiling its busiest modules, which takes one to three minutes"
	rm -rf $(RELEASE) build/wheel
	ZETCD_COMPILE=1 $(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(BIN)/python -m zipfile -e build/wheel/*.whl $(RELEASE)
	mkdir -p dist
	cp build/wheel/*.whl dist/
	touch $@

$(BIN)/python:
	@python=
	# The system's own first, if it can make environments: distributions build it with profile-guided
	# optimisation, and one client's put takes 5 to 8 % less time with it.
	if /usr/bin/python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	  python=/usr/bin/python3
	fi
	for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
	  if [ -z "$$python" ] && command -v "$$candidate" >/dev/null \
	    && "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    python=$$candidate
	  fi
	done
	if [ -z "$$python" ]; then
	  echo "zetcd: Python 3.11 or newer is needed; found: $$(python3 --version 2>&1 || true)" >&2
	  exit 1
	fi
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo "zetcd: installing python3-venv, which this system lacks"
	    apt-get update -qq
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
	  else
	    echo "zetcd: $$python cannot make virtual environments; as root: apt-get install python3-venv" >&2
	    exit 1
	  fi
	fi
	rm -rf $(VENV)
	"$$python" -m venv $(VENV)
