# The development commands; `make help` lists them. They need only Python 3.10 or newer with venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := src tests docs/examples tools
# More workers than processors, because many tests wait for other processes. Small chunks, because slow tests are
# neighbours and one worker would get all of them.
WORKERS ?= 6
PYTEST  := -m pytest -n $(WORKERS) --maxschedchunk 4 $(OPTIONS)

.DEFAULT_GOAL := help
.PHONY: help demo demo-realtime test check format bench clean pyz image image-test package-test pipeline-test test-oldest packages oldest-packages fuzz mutants audit constraints pictures

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

demo: $(VENV)/.local ## classify real text by batch inference, without an AWS account
	$(BIN)/python docs/examples/demo.py --mode auto

demo-realtime: $(VENV)/.local ## do the same in real time and compare both tables
	$(BIN)/python docs/examples/demo.py --mode realtime

test: $(VENV)/.dev ## run the tests
	$(BIN)/python $(PYTEST)

check: $(VENV)/.dev ## check lint, format, types and layers
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

format: $(VENV)/.dev ## format the sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

pyz: | $(BIN)/python ## make dist/bedrock_batch_processing.pyz, the step as a single file
	$(BIN)/python tools/make_pyz.py dist/bedrock_batch_processing.pyz

image: ## build the container image with a Docker engine
	docker build --tag bedrock-batch-processing .

image-test: $(VENV)/.dev ## build the image without a Docker engine and run the step in it (needs root, buildah, debootstrap)
	$(BIN)/python tests/distribution/check_image.py

# Python 3.10 or 3.11, because pyarrow 14 and pandas 2.0 have no wheels for newer versions.
FITS_OLDEST := -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))'
OLDEST_PYTHON ?= $(shell pyenv=$${PYENV_ROOT:-$$HOME/.pyenv}/versions; \
	for each in python3.10 $$pyenv/3.10.*/bin/python python3.11 $$pyenv/3.11.*/bin/python $(PYTHON); do \
	$$each $(FITS_OLDEST) 2>/dev/null && echo $$each && break; done)

build/oldest/.done: pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt \
		-e '.[local,terminal]' greenlet hypothesis jsonschema pytest pytest-socket pytest-timeout pytest-xdist
	@touch $@

# Old packages change how tables are read and written, how requests and responses look, and what JSON is repaired. They
# change neither documents and laws of text nor the order of the step's calls, so the oldest set leaves out the tests of these.
OLDEST_LEAVES_OUT := contract faults unit/local_bedrock unit/tools functional/local_bedrock \
	$(addprefix functional/run/test_,tutorial.py bad_input.py cost.py observers.py upstream_prompts.py) \
	$(addprefix functional/plan_and_doctor/test_,plan.py model_warnings.py forget.py) \
	$(addprefix functional/batch/test_,calls.py canary.py creation.py endings.py fallback.py lost_results.py monitoring.py submit_and_collect.py) \
	$(addprefix functional/realtime/test_,deduplication.py errors.py) \
	$(addprefix functional/resume/test_,attached_jobs.py open_runs.py taken_answers.py) \
	$(addprefix property/test_,$(addsuffix _laws.py,job_plan json_repair outer_object prompt rate_limiter sample))
OLDEST_OPTIONS ?= $(addprefix --ignore tests/,$(OLDEST_LEAVES_OUT))

oldest-packages:
	@! $(or $(OLDEST_PYTHON),false) $(FITS_OLDEST) 2>/dev/null || $(MAKE) --no-print-directory build/oldest/.done

test-oldest: ## run the tests on the oldest supported packages and Python
	@if $(or $(OLDEST_PYTHON),false) $(FITS_OLDEST) 2>/dev/null; \
	then $(MAKE) --no-print-directory build/oldest/.done && build/oldest/bin/python $(PYTEST) $(OLDEST_OPTIONS); \
	else echo "test-oldest: skipped: no Python 3.10 or 3.11, and pyarrow 14 and pandas 2.0 have no wheels for newer ones"; fi

fuzz: $(VENV)/.dev ## fuzz the parsers of answers and result files for minutes
	FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest -n 2 --timeout 3600 tests/fuzz

mutants: $(VENV)/.dev ## check that the simulation finds each of many known bugs (ten minutes)
	cd tests && PYTHONPATH=.:../src ../$(BIN)/python -m faults.simulation.mutant_hunt $(MUTANTS)

audit: ## check the pinned dependencies for known vulnerabilities
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

package-test: $(VENV)/.dev ## install the wheel, the single file and the source_dir in empty environments and run each
	$(BIN)/python tests/distribution/check_packages.py

pipeline-test: $(VENV)/.dev ## render the example pipelines offline with the sagemaker SDKs 2 and 3 (installs 2 GB under build/)
	$(PYTHON) -m venv build/sdk2
	build/sdk2/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=2.257,<3' 'moto[s3]>=5' flask flask-cors
	build/sdk2/bin/python tests/distribution/check_sdk.py 2
	$(PYTHON) -m venv build/sdk3
	build/sdk3/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=3.27,<4' 'moto[s3]>=5' flask flask-cors
	build/sdk3/bin/python tests/distribution/check_sdk.py 3

constraints: ## update constraints.txt, the pinned versions of the image
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check -r src/requirements.txt
	head -n 1 constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze >> build/constraints.txt
	mv build/constraints.txt constraints.txt

pictures: $(VENV)/.dev ## run the demo and draw the pictures of the README in docs/images (the report needs Chromium)
	$(BIN)/python tools/make_pictures.py

bench: $(VENV)/.dev ## run the benchmarks and write docs/performance.md
	PYTHONPATH=src $(BIN)/python tests/benchmarks/bench.py

clean: ## remove all generated files
	rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
