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
PLATFORM ?=
# Tests and demo start hundreds of processes, and half of each start would be compiling anew.
unexport PYTHONDONTWRITEBYTECODE

SOURCES := contract gateway drivers security fleet core attack firmware_sim wardgate demo bench tools tests examples

VENV_DEPLOY ?= .venv-deploy

.PHONY: prism demo test explore test-crash test-power test-absence test-vm check check-deploy format generate bench fuzz lock clean system

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wardgate needs Python 3.11 or newer")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/apt-install $(shell $(PYTHON) -c 'import sys; print(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")')
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	rm -rf wardgate.egg-info  # it would hide entry points that are new
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready
	@$(BIN)/python -m demo --state '$(STATE)' $(if $(SECONDS),--seconds $(SECONDS)) $(if $(REPORT),--report '$(REPORT)') $(if $(REPLAY),--replay '$(REPLAY)') $(if $(PLATFORM),--platform $(PLATFORM))

system:
	@tools/apt-install mosquitto mosquitto-clients libcoap3-bin prometheus strace ser2net softhsm2 systemd rsyslog rsyslog-gnutls fuse3 curl nftables iproute2 freeradius eapoltest strongswan-pki libstrongswan-standard-plugins
	@tools/unpack-deb chrony $(VENV)/chrony

# The mock of published interfaces, where npm is there; without it its tests are left out, and say so.
prism:
	@test -x .prism/node_modules/.bin/prism || ! command -v npm >/dev/null || \
		npm install --silent --no-audit --no-fund --no-save --prefix .prism @stoplight/prism-cli@5.14.2 || \
		echo "prism could not be installed: tests against it are left out"

# Most tests wait for processes and sockets: some files run beside each other.
# In the tree's order: whole processes first, which wait much, and what is short fills the end.
test: $(VENV)/.ready system prism
	$(BIN)/python -m pytest --numprocesses $(or $(WORKERS),5) --dist loadfile --no-loadscope-reorder

# Property tests by other examples each time, in as many rounds.
explore: $(VENV)/.ready
	for round in $$(seq $(or $(ROUNDS),10)); do \
		$(BIN)/python -m pytest --numprocesses $(or $(WORKERS),2) --hypothesis-profile explore \
			$$(grep -rl --include '*.py' 'from hypothesis' tests/unit) || exit 1; \
	done

test-crash: $(VENV)/.ready
	$(BIN)/python -m tests.crash.rounds --rounds $(or $(ROUNDS),1000) $(if $(SEED),--seed $(SEED))

# Needs /dev/fuse.
test-power: $(VENV)/.ready
	@tools/apt-install fuse3
	$(BIN)/python -m tests.crash.power --rounds $(or $(ROUNDS),200) $(if $(SEED),--seed $(SEED))

test-absence: $(VENV)/.ready
	$(BIN)/python -m tests.crash.absence $(if $(MINUTES),--minutes $(MINUTES))

check: $(VENV)/.ready
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint
	cd protos && ../$(BIN)/buf breaking --against released.binpb
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/dashboards.py --check

$(VENV_DEPLOY)/.ready: requirements-deploy.lock
	$(PYTHON) -m venv $(VENV_DEPLOY)
	$(VENV_DEPLOY)/bin/pip install --quiet --disable-pip-version-check -r requirements-deploy.lock
	@touch $@

# Ansible is under the GPL and only run as a command: it has an environment of its own.
check-deploy: $(VENV)/.ready $(VENV_DEPLOY)/.ready
	PATH="$(abspath $(VENV_DEPLOY))/bin:$$PATH" ansible-lint -c .ansible-lint.yml ansible
	$(BIN)/python -m pytest tests/integration/test_identity_role.py

# The roles in a virtual machine without a network, and its power cut under load: half an hour, and
# two GiB of disk. ACTS=power: only install, then cut the power CUTS times; ACTS=mec,
# ACTS=radius: a MEC platform, or secondary authentication, alone. MACHINE=namespaces: in minutes, on
# this host's kernel, without the cuts.
test-vm: $(VENV)/.ready $(VENV_DEPLOY)/.ready
	@tools/apt-install debootstrap e2fsprogs eapoltest iproute2 libcoap3-bin nftables openssh-client qemu-system-x86
	@tools/unpack-deb chrony $(VENV)/chrony
	PATH="$(abspath $(VENV_DEPLOY))/bin:$$PATH" $(BIN)/python -m tests.vm \
		$(if $(ACTS),--acts $(ACTS)) $(if $(MACHINE),--machine $(MACHINE)) $(if $(CUTS),--cuts $(CUTS)) $(if $(SEED),--seed $(SEED))

format: $(VENV)/.ready
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

generate: $(VENV)/.ready
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/dashboards.py

bench: $(VENV)/.ready
	$(BIN)/python -m bench

# Every driver's codec, guided by coverage: SECONDS each (60), ONLY="ivy450c hl7".
fuzz: $(VENV)/.ready
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only $(ONLY))

lock:
	$(PYTHON) tools/lock.py

clean:
	rm -rf $(VENV) $(VENV_DEPLOY) .wardgate-demo .wardgate-vm build *.egg-info
