# Two commands do everything: `make demo` and `make test`. Both set up what they need in .venv;
# the Chromium of its tests, `make test` installs: by apt as root, else Playwright's for the user.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# A web archive for the tests to crawl; what it pins clashes with what we need.
PYWB := .venv-pywb
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test lint types arrows unit browser bench bench-train bench-quality bench-rank bench-sample screenshots format clean

demo: $(VENV)/.base
	$(BIN)/nonesuch demo

test: lint types arrows unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

arrows: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev $(PYWB)/.done browser
	$(BIN)/pytest -n 2 --dist loadgroup

# The headless shell starts faster than a whole browser. One that is there already will do where apt
# does not know the shell.
browser: $(VENV)/.dev
	@has() { command -v "$$1" >/dev/null; }; \
	apt() { test "$$(id -u)" = 0 && has apt-get && DEBIAN_FRONTEND=noninteractive apt-get "$$@"; }; \
	get() { apt install -y -qq --no-install-recommends "$$1"; }; \
	any() { has chromium || has chromium-browser || has google-chrome; }; \
	known() { apt-cache show chromium-headless-shell >/dev/null 2>&1; }; \
	has chromium-headless-shell \
	|| { any && ! known; } \
	|| { apt update -qq && get chromium-headless-shell; } \
	|| any || get chromium \
	|| $(BIN)/playwright install --only-shell chromium \
	|| echo "No Chromium could be installed, tests of pages will be skipped; install one and put it on the PATH" >&2

bench: $(VENV)/.dev browser
	$(BIN)/python -m benchmarks

# Training, on a GPU where there is one; `ARGS="--sizes 384×512 --networks"` for a part of it.
bench-train: $(VENV)/.dev
	$(BIN)/python -m benchmarks.training_speed $(ARGS)

bench-quality: $(VENV)/.dev
	$(BIN)/python -m benchmarks.quality

# How well ranking finds planted defects; `ARGS=--closing` also trains again after culling.
bench-rank: $(VENV)/.dev
	$(BIN)/python -m benchmarks.rank $(ARGS)

# Samples per second against the bare forward, and how long edits in the explorer take.
bench-sample: $(VENV)/.dev
	$(BIN)/python -m benchmarks sample

# Every view of the review page, into .bench/screenshots; `ARGS=--docs` renews those of the documents.
screenshots: $(VENV)/.dev browser
	$(BIN)/python -m benchmarks.screenshots $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PYWB) .bench data/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, $(PYTHON) is older; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[train]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.base

$(PYWB)/.done: constraints-pywb.txt | $(BIN)/python
	$(BIN)/python -m venv $(PYWB)
	$(PYWB)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-pywb.txt pywb
	@touch $@
