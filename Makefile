# Two commands do everything on a machine with Python (3.10 to 3.13), make and git:
#   make train    set up, train, leave the artefacts     (make train ARGS="data=mnist trainer.max_epochs=3")
#   make test     set up, pass the checks and the tests
#   make bench    set up, measure speed, write benchmarks/results.md (ten minutes; needs MNIST in data/)
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

.PHONY: train test bench constraints clean

train: $(VENV)/installed
	$(VENV)/bin/python scripts/train.py $(ARGS)

test: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --cov --cov-report term:skip-covered --cov-fail-under 90 $(ARGS)

bench: $(VENV)/installed
	$(VENV)/bin/python benchmarks/bench.py

constraints: $(VENV)/installed-dev
	$(VENV)/bin/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==' \
		| sed 's/$$/ ; python_version >= "3.11"/' > constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage*

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
