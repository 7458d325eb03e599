# Everything installs itself: `make demo`, `make test`, `make check`, `make bench`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test test-all check bench sample tree lock clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "driftdeck needs Python 3.11 or later; set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || \
		{ echo "installing python3-venv"; apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED)  ## all packages, with pinned hashes, into .venv

demo: install    ## the whole job on real data: flights, a model, its service, drift, an alert, the dashboard
	$(BIN)/driftdeck demo $(DEMO)

test: install    ## the tests, on two cores (some of them wait); TESTS=tests/store for some of them
	$(BIN)/python -m pytest -n 3 --dist worksteal $(TESTS)

test-all: install  ## every test, the slow ones too; DRIFTDECK_NIGHTLY=1 for their nightly size
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "slow or not slow" $(TESTS)

check: install   ## format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: install   ## benchmarks, each side by side with its baseline
	$(BIN)/python -m benchmarks $(BENCH)

sample: install  ## make data/ again from its seed
	$(BIN)/python data/make_sample.py

tree: install    ## the file tree of docs/architecture.md from the module docstrings
	$(BIN)/python docs/tree.py

lock:            ## pin the newest versions, with hashes and without addresses
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --universal --upgrade --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file requirements.lock

clean:           ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-data
