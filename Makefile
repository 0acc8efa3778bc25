# Two commands for everybody: `make demo` makes a mesh, `make test` checks everything.

PYTHON ?= python3
PROMPT ?= a teddy bear
# On Linux, PyPI's torch brings several gigabytes of CUDA. Without an NVIDIA card, let
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# fetch the small build instead.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo test test-cuda lint unit unit-command unit-rooms benchmark docs install clean

demo: install
	$(BIN)/scoresmith generate "$(PROMPT)" --out outputs/demo --overwrite

test: lint unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In two processes, of one thread each (tests/conftest.py): half the time on two cores.
unit: install
	$(MAKE) --jobs=2 unit-command unit-rooms

unit-command: install
	$(BIN)/python -m pytest tests/cli tests/examples

unit-rooms: install
	$(BIN)/python -m pytest --ignore=tests/cli --ignore=tests/examples

# On an NVIDIA card if torch sees one (bring your own CUDA torch into .venv), else all of it on a pretended card. On a real
# one it ends with a page of figures for the README.
test-cuda: install
	card=$$($(BIN)/python -c "import torch; print('real' if torch.cuda.is_available() else 'pretended')"); \
	  echo "on a $$card card"; SCORESMITH_CARD=$$card $(BIN)/python -m pytest tests/card && \
	  if [ $$card = real ]; then $(BIN)/python -m tests.benchmarks.card; fi

benchmark: install
	$(BIN)/python -m tests.benchmarks

# Pages by hand and the reference from the docstrings, in outputs/docs; warnings are errors.
docs: install
	$(PIP) --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file examples/docs/mkdocs.yml

install: $(INSTALLED)

# torch first and by its pinned version: the newest release that another package would pull in may be far larger.
$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) outputs
