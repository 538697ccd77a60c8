# `make demo` and `make test` set everything up by themselves; `make` alone lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The versions of constraints.txt hold for build backends too; pip took them from PIP_CONSTRAINT until version 25.3.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

python_name = $(shell $(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

# $(call apt,PACKAGES): install Debian packages as root or with password-less sudo; fail where that cannot be done.
apt = { command -v apt-get >/dev/null && \
	{ [ "$$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; } && \
	echo "installing $(1)" && \
	{ [ "$$(id -u)" -eq 0 ] || sudo=sudo; } && \
	{ $${sudo:-} apt-get update --quiet || true; } && \
	$${sudo:-} env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $(1) </dev/null; }

.DEFAULT_GOAL := help
.PHONY: help setup java demo test check bench clean

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: java $(STAMP) ## Java, and a Python environment in .venv with everything curate needs

java:
	@scripts/java.sh

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "curate needs Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,$(python_name)-venv) || \
		{ echo "$(PYTHON) cannot make environments: apt-get install $(python_name)-venv, as root" >&2; exit 1; }
	@$(PYTHON) scripts/can_compile.py || $(call apt,g++ $(python_name)-dev)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt
	@touch $@

