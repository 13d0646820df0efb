# Two commands do everything: `make demo` and `make test`. Both set up what they need in .venv;
# where there is no Chromium, `make test` installs it: by apt as root, else Playwright's for the user.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# A web archive for the tests to crawl; what it pins clashes with what we need.
PYWB := .venv-pywb
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test lint types arrows unit browser bench bench-quality screenshots format clean

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

browser: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	|| $(BIN)/playwright install chromium \
	|| echo "No Chromium could be installed, tests of pages will be skipped; install one and put it on the PATH" >&2

bench: $(VENV)/.dev browser
	$(BIN)/python -m benchmarks

bench-quality: $(VENV)/.dev
	$(BIN)/python -m benchmarks.quality

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
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.base

$(PYWB)/.done: constraints-pywb.txt | $(BIN)/python
	$(BIN)/python -m venv $(PYWB)
	$(PYWB)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-pywb.txt pywb
	@touch $@
