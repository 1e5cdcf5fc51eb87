# `make help` lists the targets. Everything is installed into .venv; nothing else on the machine is touched.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Read by .ci/install.py from the environment, as TORCH, UV and INSTALL_ARGS are. `make LOCK= …` takes the newest
# versions that pyproject.toml allows instead of the pinned ones.
export LOCK ?= lock.txt
ARGS ?=
JOBS ?= auto

BIN := $(VENV)/bin
INSTALL := $(BIN)/python .ci/install.py
INSTALL_INPUTS := pyproject.toml $(LOCK) .ci/install.py

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: bench
bench: $(VENV)/run.stamp ## set up .venv and run the main job: three kernels, CPU and CUDA
	$(BIN)/python -m convbench -m kernel=3,5,9 device=cpu,cuda $(ARGS)

.PHONY: test
test: $(VENV)/dev.stamp ## formatting, lint, types and the fast tests; no GPU needed
# Beside one another, since types keep less than a core busy; what the checks found is said again below the tests.
	@$(MAKE) --no-print-directory -j2 check test-fast || { $(MAKE) --no-print-directory check; exit 1; }

.PHONY: test-fast
test-fast: $(VENV)/dev.stamp ## the fast tests alone, as many at once as there are cores (JOBS=0: one by one)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

.PHONY: check-repo
check-repo: $(VENV)/dev.stamp ## the tests of what changes a few times a year: workflows, pins, lists of layers
	$(BIN)/python -m pytest -m 'repo and not slow' --numprocesses $(JOBS) --dist worksteal $(ARGS)

.PHONY: test-slow
test-slow: $(VENV)/slow.stamp ## the tests against real systems: Slurm, Ray, Chromium, builds, many kills
	$(BIN)/python -m pytest -m slow --timeout=900 --numprocesses $(JOBS) --dist worksteal --durations=25 $(ARGS)
	CONVBENCH_EXAMPLES=3 $(BIN)/python -m pytest -m 'hypothesis and not slow' --numprocesses $(JOBS) --dist worksteal tests/test_accuracy.py tests/test_cli.py tests/test_examples.py tests/test_gradients.py tests/test_methods.py

.PHONY: campaigns
campaigns: $(VENV)/dev.stamp ## before a release: spoilt command lines, damaged files, kills, large sweeps, deceptions
	$(BIN)/python -m tests.fault_campaigns.command_lines --count 2000
	$(BIN)/python -m tests.fault_campaigns.damaged_files --count 500
	CONVBENCH_KILLS=50 CONVBENCH_CONFIGURATIONS=100000 $(BIN)/python -m pytest -m slow --timeout=3600 -s tests/slow/test_kills.py tests/slow/test_scale.py
	$(BIN)/python -m convbench validate --judge
	CONVBENCH_CAMPAIGNS=1 $(BIN)/python -m pytest -m campaign --timeout=3600

.PHONY: readme
readme: $(VENV)/dev.stamp ## the other commands of README.md, each in a folder of its own
	$(BIN)/python -m pytest -m slow --timeout=900 tests/slow/test_readme.py $(ARGS)

.PHONY: check
check: $(VENV)/dev.stamp ## formatting, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPY_NUM_WORKERS=auto $(BIN)/mypy

.PHONY: format
format: $(VENV)/dev.stamp ## format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(VENV)/dev.stamp ## write lock.txt and constraints.txt anew for what pyproject.toml says (ARGS=--upgrade: newest)
	$(BIN)/python .ci/lock.py $(ARGS)

.PHONY: docs
docs: $(VENV)/dev.stamp ## write docs/columns.md anew from the code
	$(BIN)/python -m tests.test_docs

.PHONY: site
site: $(VENV)/site.stamp ## build the documentation as a site with search into build/site; a broken link is an error
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html -c docs/site . build/site
	@echo "build/site/README.html"

.PHONY: headline
headline: $(VENV)/dev.stamp ## write the README's table and the paragraph below it anew (three minutes of a quiet machine)
	rm -rf results/headline
	$(BIN)/python -m convbench -m kernel=3,5,9 device=cpu,cuda out=results/headline
	$(BIN)/python docs/headline.py results/headline

.PHONY: findings
findings: $(VENV)/dev.stamp ## write docs/findings.md anew: what is wrong in the torch at hand
	$(BIN)/python -m tests.findings

.PHONY: verdicts
verdicts: $(VENV)/dev.stamp ## write the tables of docs/accuracy.md anew: planted bugs and right methods (ARGS='bugs sums')
	$(BIN)/python -m tests.verdicts $(ARGS)

.PHONY: microbench
microbench: $(VENV)/dev.stamp ## time the harness's own hot paths with pytest-benchmark
	$(BIN)/python -m pytest tests/benchmarks -o python_files='bench_*.py' --benchmark-only $(ARGS)

# The steps of a scheduled run on a GPU. They read SWEEP, DEVICE, SHARD, NIGHTLY_OUT, BASELINES and
# KEEP_BASELINE from the environment themselves: make never expands these values, so none of them is ever taken for a command.
NIGHTLY := $(BIN)/python -m convbench nightly
nightly canary sweep gate accept: export SWEEP ?= kernels
nightly canary sweep gate accept: export DEVICE ?= cuda

.PHONY: nightly
nightly: $(VENV)/run.stamp ## canary, sweep and gate in one go (DEVICE=cpu where there is no GPU)
	$(NIGHTLY) $(ARGS)

.PHONY: canary
canary: $(VENV)/run.stamp ## can timings from this machine be trusted now?
	$(NIGHTLY) canary

.PHONY: sweep
sweep: $(VENV)/run.stamp ## measure one share (SHARD=2/8) of a night into NIGHTLY_OUT
	$(NIGHTLY) sweep $(ARGS)

.PHONY: gate
gate: $(VENV)/run.stamp ## compare the night in NIGHTLY_OUT with the last good one of the same environment
	$(NIGHTLY) gate

.PHONY: accept
accept: $(VENV)/run.stamp ## make the night in NIGHTLY_OUT the baseline, although the gate was red
	$(NIGHTLY) accept

.PHONY: gpu-proof
gpu-proof: $(VENV)/dev.stamp ## prove convbench on a GPU that it has not met, once (ARGS=budget_s=420; DEVICE=cpu: its CPU half)
	$(BIN)/python -m convbench validate --proof "device=$${DEVICE:-cuda}" $(ARGS)

.PHONY: compare
compare: $(VENV)/run.stamp ## make compare BASE=DIR NEW=DIR: did anything get worse?
	$(BIN)/python -m convbench compare $(BASE) $(NEW) $(ARGS)

.PHONY: report
report: $(VENV)/run.stamp ## make report DIRS='DIR …': one HTML page about them
	$(BIN)/python -m convbench report $(DIRS)

.PHONY: wheel
wheel: $(VENV)/dev.stamp ## build sdist and wheel into dist/ and check them
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

.PHONY: clean
clean: ## remove what builds and tools leave behind; keeps .venv and results
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find convbench tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' || \
	  { echo "convbench needs Python 3.10 to 3.14, and $(PYTHON) is another; say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/run.stamp: $(INSTALL_INPUTS) | $(BIN)/python
	$(INSTALL) gpu
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(INSTALL) gpu dev joblib
	@touch $@

$(VENV)/site.stamp: $(VENV)/dev.stamp
	$(INSTALL) gpu dev docs
	@touch $@

$(VENV)/slow.stamp: $(VENV)/dev.stamp
	$(INSTALL) gpu dev docs joblib slurm ray optuna
	@touch $@
