# demo, test, check, format: the same here and in CI. For the night: simulate, faults. `make lock` renews locked versions.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := install --quiet --disable-pip-version-check --require-hashes
LOCK   := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade

.PHONY: demo test faults simulate check format lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/local.stamp
	$(BIN)/acequia local

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Every fault scenario with its longer variations: some fifteen minutes.
faults: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/faults -m "faults_all or not faults_all" $(PYTEST_ARGS)

# Longer than `make test` does it, for a night. A failure prints its seed, the fewest faults that cause it, and how to
# run it again.
SEEDS ?= 100000
SEED  ?= 1

simulate: $(VENV)/dev.stamp
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --seed $(SEED)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Acequia needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

# Emulated AWS pins botocore exactly, so it has a virtual environment of its own.
$(VENV)/stack.stamp: requirements/stack.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/stack
	$(VENV)/stack/bin/python -m pip $(PIP) -r requirements/stack.txt
	touch $@

$(VENV)/local.stamp: requirements/local.txt pyproject.toml $(VENV)/stack.stamp | $(VENV)/bin/python
	$(BIN)/python -m pip $(PIP) -r requirements/local.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/local.stamp
	$(BIN)/python -m pip $(PIP) -r requirements/dev.txt
	touch $@

lock: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/$(LOCK) pyproject.toml -o requirements/service.txt
	$(BIN)/$(LOCK) pyproject.toml requirements/build.in --extra local -c requirements/service.txt -o requirements/local.txt
	$(BIN)/$(LOCK) pyproject.toml requirements/build.in --extra local --extra test --extra check -c requirements/local.txt -o requirements/dev.txt
	$(BIN)/$(LOCK) requirements/build.in -c requirements/local.txt -o requirements/build.txt
	$(BIN)/$(LOCK) requirements/stack.in -o requirements/stack.txt

clean:
	rm -rf $(VENV) .acequia .mypy_cache .ruff_cache .pytest_cache .hypothesis
