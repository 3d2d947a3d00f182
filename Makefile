# Everything here does its own set-up first (tools/setup.sh), which is quick when nothing is missing.
#
#   make demo     simulated movies through the whole pipeline to a map, checked against the truth
#   make test     everything: lint, unit, RELION, Slurm and window tests, in one pytest run of two lanes
#   make unit     the quick tests alone
#   make lint     style, types, workflow and shell checks
#   make bench    what the workflow adds to RELION's own time, and the dispatcher to sbatch
#   make setup    the set-up alone; make setup-slurm for all that the tests need
#   make lock     write the versions of what is in .venv to tools/constraints.txt
#   make clean    remove what the above leave behind, but for .venv

SHELL := /bin/bash
BIN := .venv/bin
SNAKEFILES = $(wildcard Snakefile rules workflow)
SHELL_SCRIPTS = .ci/run $(shell find tools tests workflow profiles -name '*.sh' -not -path 'tests/golden/*' 2>/dev/null)

# Programs of the environment, and no modules of other software in its way.
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME
export PYTHON

.NOTPARALLEL:
.DEFAULT_GOAL := test
.PHONY: setup setup-slurm demo test unit lint bench lock clean

setup:
	@tools/setup.sh

setup-slurm:
	@tools/setup.sh slurm

demo: setup
	$(BIN)/python -m tests.demo.run_demo

# One worker begins with the clusters, whose tests mostly wait, the other with the pipelines, whose
# tests compute; tests/conftest.py says which tests stay together, and in which order they come.
test: setup-slurm lint
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

unit: setup
	$(BIN)/python -m pytest -n 2 -m 'not slow' --hypothesis-profile=quick tests/unit tests/golden

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check $(SNAKEFILES)
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/shfmt -i 4 -d $(SHELL_SCRIPTS)
	$(BIN)/snakemake --lint --configfile tests/scenarios/topaz.yaml

bench: setup
	$(BIN)/python -m tests.bench.run_bench

# setuptools comes with older Pythons' environments; nothing here asks for it.
lock: setup
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -v '^setuptools==' > constraints.new
	mv constraints.new tools/constraints.txt

clean:
	rm -rf build dist demo .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find dispatch tests tools workflow -name __pycache__ -prune -exec rm -rf {} +
