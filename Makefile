# make study   run the notebooks and build the book          (PROFILE=quick or paper, ARGS=--single-file for a PDF)
# make test    lint, type-check and test
# make lab     open the notebooks in JupyterLab
# make clean   remove what study and test have made; the installation stays
# Each installs what it needs into .venv first and asks for nothing but Python 3.11.

PROFILE ?= quick
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# With a shipped profile as it stands the book must bear out what it claims (book/claims.yml).
STRICT = $(if $(filter quick paper,$(PROFILE)),$(if $(filter -p --no-book,$(ARGS)),,--strict))
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := study
.PHONY: study test lab clean

study: $(VENV)/.has-book
	$(BIN)/python -m stm_core study --profile $(PROFILE) $(STRICT) $(ARGS)

test: $(VENV)/.has-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --cov --cov-report=term --durations=10 $(ARGS)

lab: $(VENV)/.has-lab
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed; name it by: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.has-book: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[book]'
	touch $@

$(VENV)/.has-lab: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[book,lab]'
	touch $@

$(VENV)/.has-test: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[book,lab,stm,test]'
	$(PIP_INSTALL) --no-deps meanfi
	touch $@
