# Every target works from a fresh clone: it makes the virtual environment that it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Of what is compiled: all that is not Python, and the Python that has a .pxd beside it.
COMPILED := $(shell find otel_agent_events -name "*.pyx" -o -name "*.px[id]")
COMPILED += $(wildcard $(patsubst %.pxd,%.py,$(COMPILED)))

.PHONY: demo test lint format lock outlines backends bench build clean

demo: $(VENV)/ready ## Fetch the bundled sessions from a loopback platform and show them as traces
	@$(BIN)/otel-agent-events demo

# What is compiled as well, once more as Python.
PURE := tests/test_assemble.py tests/test_parts.py tests/test_shift.py tests/test_claims.py tests/fetchers/test_vectara.py tests/live/test_labels.py

test: $(VENV)/ready ## All tests on all cores, with branch coverage; those of real back ends when they are installed
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal
	$(BIN)/coverage run -m pytest --numprocesses auto --quiet -p tests.pure $(PURE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95

lint: $(VENV)/ready ## Formatter, linter, type checker, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

backends: ## Build a real Jaeger and a real collector for the tests (needs Go, once, about ten minutes)
	scripts/install-backends

outlines: $(VENV)/ready ## Write the outlines of all recordings anew, to be looked at
	$(BIN)/python -m tests.outlines

bench: $(VENV)/ready ## Compare replay with the script that one would write, and with the floor: a quarter of an hour
	$(BIN)/python -m benchmarks

build: $(VENV)/ready
	rm -rf dist
	$(BIN)/python -m build --no-isolation

lock: $(VENV)/ready ## Pin the development tools anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --upgrade \
	  --custom-compile-command "make lock" \
	  --extra cli --group dev --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) dist demo.otlp.jsonl

$(VENV)/ready: requirements-dev.txt pyproject.toml setup.py $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/it")'
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@
