# Every target works from a fresh clone with nothing but Python and make: it
# creates .venv when it is missing and installs just what that target needs.
# A stamp file per extra makes the second run quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
META := setup.cfg pyproject.toml
JOBS ?= 2
# Of each module, and parts of names of modules (all if empty).
MUTANTS ?= 200
MODULES ?=

.PHONY: demo test test-fast test-lowest test-pythons mutation lint docs notebooks bench warmup clean clean-cache help

help:
	@echo "make demo        fit certified sparse models on real data, write sparsestat-tour.html"
	@echo "make test        run the whole test suite"
	@echo "make test-fast   the same without the tests marked slow"
	@echo "make test-lowest test-pythons   on the oldest versions, on each Python there is"
	@echo "make lint docs notebooks bench mutation clean clean-cache"

$(PY):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel

# .venv/.installed-EXTRA stands for "the package with EXTRA is installed".
$(VENV)/.installed-%: $(META) | $(PY)
	$(BIN)/pip install --quiet --editable ".[$*]"
	@touch $@

demo: $(VENV)/.installed-demo
	$(PY) -m sparsestat tour

# The kernels are compiled once, before the test workers start, so that the
# workers load them from the cache instead of each compiling them.
warmup: $(VENV)/.installed-test
	$(PY) -m sparsestat warmup

# The suite, and every example in a docstring. The test workers are as many as cores:
# threads of their own would only wait for each other.
ONE_THREAD = $(addsuffix _NUM_THREADS=1,OMP OPENBLAS MKL NUMBA)
PYTEST = SCIPY_ARRAY_API=1 $(ONE_THREAD) $(PY) -m pytest -n $(JOBS) --dist worksteal \
	--doctest-modules sparsestat tests

test: warmup
	$(PYTEST)

test-fast: warmup
	$(PYTEST) -m "not slow"

# The suite on the oldest versions that setup.cfg allows, and on each interpreter there is.
test-lowest: $(META)
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --resolution lowest-direct \
		--python $(VENV)-lowest/bin/python --editable ".[test]"
	$(MAKE) test VENV=$(VENV)-lowest -o $(VENV)-lowest/.installed-test

test-pythons:
	@for version in 3.11 3.12 3.13; do \
		if command -v python$$version > /dev/null; then \
			$(MAKE) test PYTHON=python$$version VENV=$(VENV)-$$version || exit 1; \
		else echo "python$$version is not here: left out"; fi; \
	done

# Hours for all modules: see "Tests" in CONTRIBUTING.md.
mutation: $(VENV)/.installed-mutation
	$(PY) tests/mutation.py --mutants $(MUTANTS) $(MODULES)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(PY) docs/validate_docstrings.py

# The generated pages are made anew, so that a name that has gone leaves no page.
# Notebooks are run once for their outputs; `make notebooks` runs them anew.
docs: $(VENV)/.installed-docs
	rm -rf docs/api docs/generated
	$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/.installed-notebooks
	$(PY) docs/_ext/notebook_pages.py

bench: $(VENV)/.installed-bench
	$(PY) -m benchmarks lasso

clean: clean-cache
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/api docs/generated docs/notebooks docs/auto_examples docs/gen_modules
	rm -f docs/sg_execution_times.rst sparsestat-tour.html

clean-cache:
	find . -path "./$(VENV)*" -prune -o -name '*.nb[ic]' -exec rm -f {} +
	find . -path "./$(VENV)*" -prune -o -name __pycache__ -type d -exec rm -rf {} +
