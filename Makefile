# Everything a newcomer needs is `make demo` and `make test`; both set up what is missing first.
# Variables: PYTHON=python3.12 (which Python to build environments with), ARGS="-k drift" (for pytest).

.DEFAULT_GOAL := help
.PHONY: help demo demo-vm demo-empty check test matrix soak bench docs setup everything lint format lock clean pulumi sdks actionlint
.DELETE_ON_ERROR:

PYTHON ?=
ARGS ?=
export PYTHON

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: .venv/installed ## Show a pool's upgrade, a drift and its repair; no cloud account (about a minute).
	@.venv/bin/python scripts/demo.py

demo-vm: .venv/installed ## Show how a VM pool's busy nodes are renewed without a lost task (half a minute).
	@.venv/bin/python scripts/demo.py vm

demo-empty: .venv/installed ## Show how a pinned VM pool is emptied, gets another version, and goes back (half a minute).
	@.venv/bin/python scripts/demo.py empty

check: .venv/installed ## Run the inner loop: lint, types, contracts, the tests of changed rooms (under 60 seconds).
	@.venv/bin/python scripts/check.py $(ARGS)

test: setup ## Run every check: lint, types, contracts, packages, tests.
	@.venv/bin/python scripts/test.py $(ARGS)

matrix: .venv/installed .venv-azure-batch-5/locked pulumi ## Test each promised combination of versions and write docs/support.md (hours; ARGS="lowest newest": only these).
	@.venv/bin/python scripts/matrix.py $(ARGS)

soak: .venv/installed ## Search for sequences that break a promise, new ones each time (ARGS=30: minutes).
	@scripts/soak $(ARGS)

bench: .venv-bench/installed pulumi ## Measure many pools and write docs/performance.md (an hour; ARGS="P2 P3": only these; ARGS=quick: a trial).
	@.venv-bench/bin/python -m benchmarks $(ARGS)

docs: .venv/installed .venv-docs/locked ## Build the documentation site into site/ (seconds; no network).
	@.venv/bin/python -m scripts.site

setup: ## Build the environments and install the tools.
	@$(MAKE) --no-print-directory --jobs=3 everything

everything: .venv/installed .venv-lowest/locked .venv-azure-batch-5/locked .venv-docs/locked sdks actionlint

lint: .venv/installed ## Run only the static checks: format, lint, types, import contracts.
	@scripts/lint

format: .venv/installed ## Format the code, and fix what ruff can fix.
	@.venv/bin/ruff check --fix --quiet && .venv/bin/ruff format --quiet

lock: .venv/installed ## Resolve requirements/*.txt again (ARGS=--upgrade takes the newest versions).
	@scripts/lock $(ARGS)

clean: ## Remove environments, builds and tool caches (the Pulumi CLI in the user cache stays).
	rm -rf .venv .venv-matrix .venv-lowest .venv-azure-batch-5 .venv-bench .venv-docs dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find batch_os_provider benchmarks tests examples scripts -name __pycache__ -prune -exec rm -rf {} +

# Environments are file targets: only a changed lock rebuilds them. Without make, scripts/demo.py and scripts/test.py make
# what they need by the same script.
.venv/installed: requirements/dev.txt pyproject.toml
.venv-bench/installed: requirements/bench.txt pyproject.toml
.venv-lowest/locked: requirements/lowest.txt
.venv-azure-batch-5/locked: requirements/azure-batch-5.txt
.venv-docs/locked: requirements/docs.txt

.venv/installed .venv-bench/installed .venv-lowest/locked .venv-azure-batch-5/locked .venv-docs/locked:
	@python=$$(scripts/python) && "$$python" scripts/environments.py $(@D)

pulumi:
	@python=$$(scripts/python) && "$$python" scripts/pulumi_cli.py >/dev/null

# It installs the CLI too, whose hosts generate the SDKs, where it has them.
sdks:
	@python=$$(scripts/python) && "$$python" scripts/sdks.py

actionlint:
	@python=$$(scripts/python) && "$$python" scripts/actionlint.py >/dev/null
