# Every target is one line over the command line; `make help` lists them.
CONFIG ?= configs/quickstart.yaml
PYTHON ?= python3
BIN := .venv/bin
# A machine that needs another build of torch sets TORCH, or installs it into .venv beforehand.
TORCH ?= torch==2.13.0
# Tests on real weights and collections, and of whole runs, take long: they run with `make test SLOW=1`,
# and where CI is set. A place that sets it but has no weights and collections runs `make test CI=`.
SELECTED := $(if $(CI)$(SLOW),,-m "not slow")
# Counting lines takes a third of the time that the tests take themselves: `make test COVERAGE=1`.
COUNTED := $(if $(COVERAGE),--cov --cov-report=,)
# Processes that share the tests; each makes a run on the toy collection for itself.
WORKERS ?= 2

# Environments of clients whose dependencies do not agree with the toolkit's.
CLIENTS ?= .venv-clients

.PHONY: help train adapt collections test test-clients demo check docs reference build clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

train: .venv/installed  ## Train, prove and package a reranker: make train [CONFIG=configs/scifact.yaml]
	$(BIN)/crossforge train $(CONFIG)

adapt: .venv/installed  ## Adapt to documents without labels: make adapt CORPUS=docs.jsonl
	$(BIN)/crossforge adapt $(or $(CORPUS),$(error give the documents: make adapt CORPUS=docs.jsonl))

collections: .venv/installed  ## Download the public collections that configs/*.yaml read, into ../shared/collections
	$(BIN)/pip install --quiet -e ".[ir-datasets]"
	$(BIN)/crossforge fetch all

test: .venv/installed-dev  ## Run the tests: make test [SLOW=1] [COVERAGE=1], which lists files of which they run less than 90% of the lines
	$(BIN)/pytest $(SELECTED) --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(COUNTED)
	@$(if $(COUNTED),$(BIN)/coverage report --sort=cover | awk 'NR <= 2 || /^TOTAL/ || $$NF + 0 < 90')

test-clients: .venv/installed-dev  ## Test other libraries on a package, some in environments of their own
	CLIENTS=$(abspath $(CLIENTS)) $(BIN)/pytest tests/clients

demo: runs/quickstart/package  ## Search for "LangSmith": TF-IDF order and reranked order side by side
	$(BIN)/crossforge search $< LangSmith --corpus examples/langsmith.jsonl --lexical --passages 2 --compare

check: .venv/installed-dev  ## Lint, type-check, and check imports, spelling and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports
	$(BIN)/typos
	$(MAKE) docs

docs: .venv/installed-dev  ## Build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	.ci/check_site.sh site

reference: .venv/installed-dev  ## Write docs/config.md anew from the config models
	$(BIN)/python docs/reference.py

build: .venv/installed-dev  ## Build wheel and sdist into dist/, check them, and try the wheel in an empty environment
	.ci/check_wheel.sh $(BIN)/python dist

clean:  ## Remove the environment, all runs, and what was built
	rm -rf .venv $(CLIENTS) runs dist site

# Whatever CONFIG is: what is searched is the quickstart's.
runs/quickstart/package:
	$(MAKE) train CONFIG=configs/quickstart.yaml

.venv/installed: pyproject.toml
	@echo "installing into .venv (once, two to three minutes) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet -e ".[quickstart]"
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $@
