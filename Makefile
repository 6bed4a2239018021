.DEFAULT_GOAL := help
.PHONY: help run setup test style check format bench eval chaos clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
# Processes that the tests are spread over, a file of tests to one of them; 0 for none beside make's own.
TEST_PROCESSES ?= 3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Which build of torch: the one your package index has first, unless TORCH_INDEX names PyTorch's index of CPU or CUDA builds.
TORCH := torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: .venv/slim  ## Install, ingest the example shop's handbook, serve on PORT (8000)
	@$(BIN)/cairn serve --port $(PORT) --tools examples/shop/tools.py \
	    --ingest examples/shop/handbook --trust

setup: .venv/full  ## Install everything, sentence-transformers and the development tools too

test: .venv/full  ## Run the tests
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

style: .venv/full  ## Check format, lint, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: style test  ## Everything: style, then the tests

format: .venv/full  ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/full  ## Measure speed against baselines in the same run
	@$(BIN)/python -m bench

eval: .venv/full  ## Measure quality: make eval DATA=folder
	@test -n "$(DATA)" || { echo "usage: make eval DATA=folder-of-data-sets (see evals/README.md)"; exit 2; }
	@$(BIN)/python -m evals $(DATA)

chaos: .venv/full  ## Kill services 510 times while they work, and count: make chaos [DATA=folder] [KILLS=n] [SEED=n]
	@$(BIN)/python -m evals.chaos $(DATA) --kills $(or $(KILLS),510) --seed $(or $(SEED),0)

clean:  ## Remove the environment; the data folder stays
	rm -rf .venv

.venv/python:
	@echo "Making a virtual environment in .venv ..."
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	    || { echo "Cairn needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/slim: .venv/python locks/slim.txt pyproject.toml
	@echo "Installing the service (about 155 packages, one or two minutes) ..."
	@$(PIP) install --quiet --progress-bar off --no-deps --require-hashes -r locks/slim.txt
	@$(PIP) install --quiet --no-deps --editable .
	@touch $@

.venv/full: .venv/slim locks/full.txt
	@echo "Installing torch, sentence-transformers and the development tools ..."
	@$(PIP) install --quiet --progress-bar off $(TORCH)
	@$(PIP) install --quiet --progress-bar off --no-deps --require-hashes -r locks/full.txt
	@touch $@
