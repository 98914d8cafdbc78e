# Two commands do everything on a machine with Python (3.10 to 3.13), make and git:
#   make train       set up, train, leave the artefacts     (make train ARGS="data=mnist trainer.max_epochs=3")
#   make test        set up, pass the checks and the tests
#   make coverage    which lines the tests run, at least 95 % (takes a third to a half longer than the tests alone)
#   make test-long   the long forms of tests, mostly of reliability (up to 25 minutes)
#   make bench       set up, measure speed, write benchmarks/results.md (ten minutes; needs MNIST in data/)
#   make docs        build the documentation site into site/, strictly
# Without make, on any system: see the README.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.PHONY: train test coverage test-long bench docs constraints clean

train: $(VENV)/installed
	$(BIN)/python scripts/train.py $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report term:skip-covered --cov-fail-under 95 $(ARGS)

test-long: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 3 --dist load -m long $(ARGS)

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py

docs: $(VENV)/installed-dev
	$(BIN)/python -m mkdocs build --strict

constraints: $(VENV)/installed-dev
	$(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==' \
		| sed 's/$$/ ; python_version >= "3.11"/' > constraints.txt

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .coverage*

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): this downloads PyTorch once, several hundred megabytes to a few gigabytes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[export,serve]"
	$(BIN)/python -c "open('$@', 'w').close()"

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Setting up $(VENV) for the tests: some hundred megabytes more."
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -c "open('$@', 'w').close()"
