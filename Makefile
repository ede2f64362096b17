# `make run` and `make test` need nothing but Python 3.11 and a network; `make help` lists the rest.

VENV ?= .venv
PYTHON_IN_VENV = $(VENV)/bin/python
PIP_INSTALL = $(PYTHON_IN_VENV) -m pip install --disable-pip-version-check
PORT ?= 7999
MINUTES ?= 30
JOBS ?= 4
ARGS ?=
SECONDS ?= 60
SEED ?=

# Modules and classes stay whole, in the order of tests/conftest.py.
PARALLEL = -n $(JOBS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test check compat e2e fuzz bench soak clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.installed ## Install Holdfast into .venv and serve the demo on http://localhost:7999/ (PORT=...)
	@exec $(VENV)/bin/holdfast demo --port $(PORT)

test: $(VENV)/.installed-test ## Run the whole test suite (JOBS=..., ARGS="-k hold")
	$(PYTHON_IN_VENV) -m pytest $(PARALLEL) $(ARGS)

check: $(VENV)/.installed-test $(VENV)/.installed-dev ## Check format, lint, types and import rules
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy src tests benchmarks
	$(PYTHON_IN_VENV) -m pytest -q tests/test_imports.py

compat: $(VENV)/.installed-test ## Run the compatibility suite against Debian's Pushpin, differences checked both ways
	HOLDFAST_TEST_PROXY=pushpin $(PYTHON_IN_VENV) -m pytest $(PARALLEL) -o cache_dir=.pytest_cache/pushpin -r fE tests/compat $(ARGS)

e2e: $(VENV)/.installed-test ## Run only the tests with real sockets, clients and a browser
	$(PYTHON_IN_VENV) -m pytest $(PARALLEL) tests/compat tests/e2e tests/browser $(ARGS)

fuzz: $(VENV)/.installed-test ## Run each fuzz target for a while (SECONDS=..., ARGS="-k frames"), or a round again (SEED=...)
	HOLDFAST_FUZZ_SECONDS=$(SECONDS) HOLDFAST_FUZZ_SEED=$(SEED) $(PYTHON_IN_VENV) -m pytest --timeout 0 tests/fuzz $(ARGS)

bench: $(VENV)/.installed-test ## Measure Holdfast, Pushpin and a C loop side by side
	$(PYTHON_IN_VENV) -m benchmarks.run $(ARGS)

soak: $(VENV)/.installed-test $(VENV)/.installed-soak ## Mixed traffic and faults for half an hour (MINUTES=...), drawn to build/soak.png
	$(PYTHON_IN_VENV) -m benchmarks.soak --minutes $(MINUTES) --picture build/soak.png $(ARGS)

clean: ## Remove everything that was built, the virtual environment too
	rm -rf $(VENV) build dist benchmarks/bin .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: installed once, and again when the dependencies may have changed.
$(VENV)/.installed: pyproject.toml scripts/venv.sh
	scripts/venv.sh $(VENV)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(PIP_INSTALL) --group $*
	@touch $@
