# What a person does here. Each recipe sets up what it needs; nothing is installed outside this directory,
# but for Debian packages, and those only as root.
SHELL := /bin/bash
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
STATE := .state
FLAVOUR ?= cpu
KILLS ?= 500
MINUTES ?= inf
SEED ?= 1
AUDIT := $(BIN)/python packaging/locks/audit
MODELS := tiny.en base diarization
# What the package build and the tests under a real systemd take from Debian.
SYSTEM_PACKAGES := caddy curl dbus debhelper dpkg-dev elixir faketime iproute2 lintian man-db mmdebstrap openssl procps python3-pip python3-venv systemd util-linux zstd

# The commands of this directory keep to it.
run models: export WHISPERD_PATHS__STATE = $(CURDIR)/$(STATE)
run models: export WHISPERD_PATHS__SPOOL = $(CURDIR)/$(STATE)/spool
run models: export WHISPERD_PATHS__RUN = $(CURDIR)/$(STATE)/run

.PHONY: help demo run test check audit lint format deb bench torture soak fuzz models lock setup system clean

help: ## Say what can be done
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: models ## Start the daemon, send it a conversation, print who said what
	@$(BIN)/python tests/demo.py

run: models ## Run the daemon from this directory
	$(BIN)/whisperd serve

test: lint models deb ## Everything, the package under a real systemd too (40 minutes on 2 cores)
	$(BIN)/pytest

check: lint ## What needs neither models nor a package, and an audit of the dependencies (2 minutes)
	$(BIN)/pytest -m "not engine and not box"
	@$(AUDIT) || test $$? = 2  # 2: nobody could be asked, which it says; CI and `make test` do not ask

audit: setup ## Ask after known vulnerabilities of the dependencies
	$(AUDIT)

lint: setup ## Style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## Put the source in its standard form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

deb: setup system ## Build dist/whisperd.deb (FLAVOUR=cpu or cuda12)
	packaging/debian/build $(FLAVOUR) dist

bench: models ## Measure, and print the tables of tests/benchmarks/README.md
	PYTHONPATH=tests $(BIN)/python -m benchmarks

torture: models ## Kill a daemon that works KILLS times, for MINUTES at the most, from SEED on
	PYTHONPATH=tests $(BIN)/python -m torture --kills $(KILLS) --minutes $(MINUTES) --seed $(SEED)

soak: models ## Let a daemon work for MINUTES (120) while its workers die, from SEED on
	PYTHONPATH=tests $(BIN)/python -m soak --minutes $(if $(filter inf,$(MINUTES)),120,$(MINUTES)) --seed $(SEED)

fuzz: setup ## Decode mutated recordings for MINUTES (60), from SEED on; build/fuzz keeps what failed
	PYTHONPATH=tests $(BIN)/python -m fuzz --minutes $(if $(filter inf,$(MINUTES)),60,$(MINUTES)) --seed $(SEED)

models: setup ## Fetch the models of the demo and the tests
	@$(BIN)/whisperd models pull $(MODELS)

lock: setup ## Resolve the dependencies anew
	packaging/locks/resolve

setup: $(VENV)/.complete

$(VENV)/.complete: packaging/locks/dev.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement packaging/locks/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

system:
	@missing=$$(for p in $(SYSTEM_PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	test -z "$$missing" || test $$(id -u) != 0 || { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $$missing; }

clean: ## Remove what was built, fetched and measured
	rm -rf $(VENV) $(STATE) build dist .mypy_cache .pytest_cache .ruff_cache
