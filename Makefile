# The commands of the project. `make demo` and `make test` set up whatever they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/wardgate/v1/*.proto)
SECONDS ?=
REPORT ?=
REPLAY ?=
STATE ?= .wardgate-demo
SOURCES := gateway drivers security fleet core firmware_sim wardgate demo bench tools tests

.PHONY: demo test test-crash check format generate bench lock clean system

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wardgate needs Python 3.11 or newer")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/apt-install $(shell $(PYTHON) -c 'import sys; print(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")')
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready
	@$(BIN)/python -m demo --state '$(STATE)' $(if $(SECONDS),--seconds $(SECONDS)) $(if $(REPORT),--report '$(REPORT)') $(if $(REPLAY),--replay '$(REPLAY)')

system:
	@tools/apt-install mosquitto mosquitto-clients libcoap3-bin prometheus strace ser2net

test: $(VENV)/.ready system
	$(BIN)/python -m pytest

test-crash: $(VENV)/.ready
	$(BIN)/python -m tests.crash.rounds

check: $(VENV)/.ready
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint
	cd protos && ../$(BIN)/buf breaking --against released.binpb
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/dashboards.py --check

format: $(VENV)/.ready
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

generate: $(VENV)/.ready
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/dashboards.py

bench: $(VENV)/.ready
	$(BIN)/python -m bench

lock:
	$(PYTHON) tools/lock.py

clean:
	rm -rf $(VENV) .wardgate-demo build *.egg-info
