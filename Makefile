# make optimize   create .venv, install, run the main job      (ARGS="key=value ..." passes overrides)
# make test       create .venv, install, run the tests         (ARGS="-k optics" passes options to pytest)
# make simulate, make validate, make fit, make lint, make clean          likewise

# The first Python found that is new enough; choose another with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: optimize simulate validate fit test lint style types clean

optimize simulate validate fit: $(VENV)/.installed
	$(BIN)/invdesign $@ $(ARGS)

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: style types

style: $(VENV)/.installed
	$(BIN)/ruff check .

types: $(VENV)/.installed
	$(BIN)/basedpyright --pythonpath $(BIN)/python

$(VENV)/.installed: pyproject.toml requirements/known-good.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements/known-good.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
