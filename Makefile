# Everything a person runs here; `make help` lists it. Needs python3 (3.10 or newer, with venv) and nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := src tests docs/examples tools
# More workers than two processors, since many tests wait for processes. Small chunks, or one worker gets all slow tests.
WORKERS ?= 4
PYTEST  := -m pytest -n $(WORKERS) --maxschedchunk 4

.DEFAULT_GOAL := help
.PHONY: help demo demo-realtime test check format bench clean pyz image image-test package-test pipeline-test test-oldest packages oldest-packages fuzz audit constraints

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.local

packages: $(VENV)/.dev

demo: $(VENV)/.local ## run the main job on real text by batch inference, without an AWS account
	$(BIN)/python docs/examples/demo.py --mode auto

demo-realtime: $(VENV)/.local ## run the same in real time and compare both tables
	$(BIN)/python docs/examples/demo.py --mode realtime

test: $(VENV)/.dev ## run the tests
	$(BIN)/python $(PYTEST)

check: $(VENV)/.dev ## lint, format, types and layers
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

format: $(VENV)/.dev ## put the sources into the house format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

pyz: | $(BIN)/python ## make dist/bedrock_batch_processing.pyz, the step as one file
	$(BIN)/python tools/make_pyz.py dist/bedrock_batch_processing.pyz

image: ## build the container image with a Docker engine
	docker build --tag bedrock-batch-processing .

image-test: $(VENV)/.dev ## build the image without a Docker engine and run the step in it (root, buildah, debootstrap)
	$(BIN)/python tests/image/check_image.py

# Python 3.10, or 3.11: pyarrow 14 and pandas 2.0 have no wheels for a newer one.
FITS_OLDEST := -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))'
OLDEST_PYTHON ?= $(shell pyenv=$${PYENV_ROOT:-$$HOME/.pyenv}/versions; \
	for each in python3.10 $$pyenv/3.10.*/bin/python python3.11 $$pyenv/3.11.*/bin/python $(PYTHON); do \
	$$each $(FITS_OLDEST) 2>/dev/null && echo $$each && break; done)

build/oldest/.done: pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt \
		-e '.[local,terminal]' hypothesis jsonschema pytest pytest-socket pytest-timeout pytest-xdist
	@touch $@

# Of the kills a quarter: all of them cost minutes, and most are of the step's own order of calls.
OLDEST_OPTIONS ?= -k 'not (share_1 or share_2 or share_3)'

oldest-packages:
	@! $(or $(OLDEST_PYTHON),false) $(FITS_OLDEST) 2>/dev/null || $(MAKE) --no-print-directory build/oldest/.done

test-oldest: ## run the tests on the oldest supported packages and Python
	@if $(or $(OLDEST_PYTHON),false) $(FITS_OLDEST) 2>/dev/null; \
	then $(MAKE) --no-print-directory build/oldest/.done && build/oldest/bin/python $(PYTEST) $(OLDEST_OPTIONS); \
	else echo "test-oldest: skipped: no Python 3.10 or 3.11, and pyarrow 14 and pandas 2.0 have no wheels for newer ones"; fi

fuzz: $(VENV)/.dev ## throw broken answers and result files at the readers, for minutes
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest -n 2 --timeout 3600 tests/fuzz

audit: ## look the pinned dependencies up in the advisories of the package index; fails where it has none
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

package-test: $(VENV)/.dev ## install the wheel, the one file and the source_dir in bare environments and run each
	$(BIN)/python tests/packaging/check_packages.py

pipeline-test: $(VENV)/.dev ## render the example pipelines with the sagemaker SDKs 2 and 3, offline (installs 2 GB under build/)
	$(PYTHON) -m venv build/sdk2
	build/sdk2/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=2.257,<3' 'moto[s3]>=5' flask flask-cors
	build/sdk2/bin/python tests/pipeline/check_sdk.py 2
	$(PYTHON) -m venv build/sdk3
	build/sdk3/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=3.27,<4' 'moto[s3]>=5' flask flask-cors
	build/sdk3/bin/python tests/pipeline/check_sdk.py 3

constraints: ## renew constraints.txt, the versions in the image
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -r src/requirements.txt
	head -n 1 constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze >> build/constraints.txt
	mv build/constraints.txt constraints.txt

bench: $(VENV)/.dev ## measure, and write docs/performance.md
	PYTHONPATH=src $(BIN)/python tests/benchmarks/bench.py

clean: ## remove what the targets made
	rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
