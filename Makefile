# Two commands: `make run` serves Tandem at http://127.0.0.1:8000 (PORT, HOST, DATA_DIR), `make test` checks all of it.
# PYTHON names the interpreter that makes .venv; by default the first one that is new enough.
# ARGS go to pytest: `make test ARGS=--cov` adds the report of coverage.

PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
ARGS ?=

PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes
SUPPORTED = import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: run test lint style format browser
.DELETE_ON_ERROR:

run: .venv/.requirements
	@exec .venv/bin/python manage.py up

# Types are checked beside the tests, some of which wait for processes and browsers; three workers keep two cores busy.
test: .venv/.requirements-dev style browser
	@types=$$(mktemp); trap 'kill $$checking 2>/dev/null; rm -f $$types' EXIT; trap 'exit 130' INT TERM; \
	.venv/bin/python -m mypy >$$types 2>&1 & checking=$$!; \
	.venv/bin/python -m pytest -n 3 $(ARGS); result=$$?; \
	wait $$checking || { cat $$types; exit 1; }; \
	exit $$result

lint: style
	.venv/bin/python -m mypy

style: .venv/.requirements-dev
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/lint-imports

format: .venv/.requirements-dev
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

# The database's own account (where we are root) must be able to run what is installed here, hence the umask.
.venv/.requirements: requirements.txt .venv/.python
	@echo "Installing what Tandem needs (once, about a minute)."
	@umask 022 && $(PIP) -r requirements.txt && touch $@

.venv/.requirements-dev: requirements-dev.txt .venv/.python
	@echo "Installing what the tests need (once, about a minute)."
	@umask 022 && $(PIP) -r requirements-dev.txt && touch $@ .venv/.requirements

ifneq ($(shell .venv/bin/python -c 'print("works")' 2>/dev/null),works)
.PHONY: .venv/.python
endif
.venv/.python:
	@umask 022; for python in $(PYTHON); do \
	    if $$python -c 'import ensurepip, venv; $(SUPPORTED)' >/dev/null 2>&1; then \
	        $$python -m venv --clear .venv && touch $@; exit; \
	    fi; \
	done; \
	echo "Tandem needs Python 3.11 or newer with its venv module (on Debian: apt install python3 python3-venv); none of these is one: $(PYTHON)." >&2; \
	exit 1

# Browser tests drive the system's Chromium; without it they are skipped, and say so, except under CI=true.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	    command -v $$name >/dev/null && exit; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium for the browser tests."; \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	fi || echo "Chromium could not be installed; browser tests will be skipped." >&2
