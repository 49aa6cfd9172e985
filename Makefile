# Two commands, each from nothing to done: `make train` and `make test`. Nothing is installed outside $(VENV).
#
#   PYTHON    the interpreter to begin with (3.10 or later)
#   PIP_ARGS  for pip: --extra-index-url with PyTorch's CPU index spares the CUDA packages, see README.md
#   ARGS      for the trainer: ARGS="run.seed=1 rl.updates=20"

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
ARGS ?=

FREE_PORT := import socket; s = socket.socket(); s.bind(('', 0)); print(s.getsockname()[1])

.PHONY: help train test lint clean

help:
	@echo "make train   install, then train the quickstart agent; the result is a table on the screen"
	@echo "make test    install, then lint, check types and run the tests"
	@echo "make clean   remove the virtual environment, builds and caches; runs/ stays"

# A port of its own, for another run on this machine may hold the launcher's default; quiet, so that the result comes last.
train: $(VENV)/installed-train
	$(VENV)/bin/deepspeed --quiet --master_port $$($(VENV)/bin/python -c "$(FREE_PORT)") train_agent.py $(ARGS)

test: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Pins hold for the tools that build packages too (older versions of pip read them from the first variable, newer ones from
# the second). DeepSpeed compiles nothing when it is installed.
INSTALL = DS_BUILD_OPS=0 PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/bin/python -m pip install $(PIP_ARGS)

$(VENV)/installed-train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable ".[train]"
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable ".[train,dev]"
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
