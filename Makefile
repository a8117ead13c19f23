# The four things one does with a checkout. A fresh machine needs Python 3.11 or newer with venv, and make; the rest
# is put into .venv, from the locks in .ci, and again only when these or pyproject.toml change.
#
#   make run      start the sandbox: no configuration, no mail leaves the machine
#   make test     style, types, and every test; as root also those that mount file systems
#   make bench    the races against Postfix (plain, and with OpenDKIM), the web against bare aiohttp, what a long queue
#                 costs in memory, and nodes on PostgreSQL (some minutes, on a quiet machine)
#   make format   bring the sources into the style that `make test` asks for

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
# Debian keeps the tools of administrators where users do not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: run test bench format
.DEFAULT_GOAL := run

run: $(READY)
	$(BIN)/mailtrail serve --sandbox

test: $(READY)
	@.ci/missing pflogsumm:pflogsumm fail2ban-regex:fail2ban swaks:swaks curl:curl strace:strace \
		mkfs.ext4:e2fsprogs losetup:mount fsfreeze:util-linux postfix:postfix chromium:chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

bench: $(READY)
	@.ci/missing --needed postfix:postfix smtp-source:postfix smtp-sink:postfix opendkim:opendkim wrk:wrk
	$(BIN)/python -m bench.race $(RACE)
	$(BIN)/python -m bench.copy
	$(BIN)/python -m bench.tracking $(TRACKING)
	$(BIN)/python -m bench.web $(WEB)
	$(BIN)/python -m bench.bounces $(BOUNCES)
	$(BIN)/python -m bench.memory $(MEMORY)
	$(BIN)/python -m bench.nodes $(NODES)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml .ci/build.lock .ci/requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Mailtrail needs Python 3.11 or newer. Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation \
		-r .ci/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
