# Every target creates the virtual environment that it needs.
# All paths are relative, so that a folder with spaces in its name works.

# The Python for the environments: make run PYTHON=/usr/bin/python3.13
PYTHON ?=
# The databases of the tests: empty for SQLite, `postgres` for PostgreSQL and Redis: make test BACKEND=postgres
BACKEND ?=
# Arguments for the program that a target starts: make run ARGS="--port 8080", make test ARGS="-k sse"
ARGS ?=

# More than the number of processors: tests spend much of their time waiting, most of all for PostgreSQL.
WORKERS = $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + $(if $(BACKEND),4,3) ))
CANDIDATES = $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11)

# Without compiled modules every process of the tests would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run sync cluster test hostile honest crash outgoing soak mutants fixtures shots coverage bench lint lock clean .venv .venv-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: .venv ## Start the service in demo mode with a local Selling Partner API (ARGS="--port 8080")
	@.venv/bin/python -m service demo $(ARGS)

sync: .venv ## Start a sync and follow it in the terminal (ARGS="--url http://127.0.0.1:9000")
	@.venv/bin/python -m service sync $(ARGS)

cluster: .venv ## Start two web processes, two workers and nginx on DATABASE_URL and REDIS_URL
	@exec .venv/bin/python -m ops.cluster $(ARGS)

test: .venv-dev ## Run the whole test suite (BACKEND=postgres, ARGS="-k sse", ARGS="-n 0" for one at a time)
	@BACKEND=$(BACKEND) .venv-dev/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

tests/clients/node_modules: tests/clients/package-lock.json
	@cd tests/clients && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

crash: N = 50
crash: .venv-dev ## Kill the service, its source and both N times during syncs, and ten demos (N=200)
	@KILLS=$(N) DEMOS=10 .venv-dev/bin/python -m pytest -s tests/journeys/test_crash.py tests/journeys/test_demo.py $(ARGS)

outgoing: N = 50
outgoing: .venv-dev ## Kill the service, readers and receivers N times during twenty syncs at once (N=20)
	@BACKEND=$(BACKEND) KILLS=$(N) SYNCS=20 .venv-dev/bin/python -m pytest -s tests/journeys/test_outgoing.py $(ARGS)

soak: MINUTES = 15
soak: .venv-dev ## Load the service for MINUTES and watch its memory, descriptors and delays
	@MINUTES=$(MINUTES) .venv-dev/bin/python -m tests.benchmarks.soak $(ARGS)

hostile: .venv-dev ## Answer every operation with every hostile answer (the suite samples them)
	@HOSTILE=all .venv-dev/bin/python -m pytest -n $(WORKERS) tests/hostile $(ARGS)

honest: N = 1000
honest: .venv-dev ## Compare the datasets of N honest sellers: none may raise an alarm (N=200)
	@HONEST=$(N) .venv-dev/bin/python -m pytest -n $(WORKERS) tests/connectors/amazon/completeness/test_generated_sellers.py $(ARGS)

mutants: .venv-dev ## Change the core one expression at a time; 95 % must fail a test (ARGS="service/model.py")
	@.venv-dev/bin/python -m tests.mutants $(ARGS)

fixtures: .venv-dev ## Generate the payloads in fixtures/ again
	@.venv-dev/bin/python -m tests.payloads $(ARGS)

shots: .venv-dev ## Make the pictures of the dashboard in docs/shots again
	@.venv-dev/bin/python -m tests.journeys.shots

coverage: .venv-dev ## Run the whole test suite and report the branches that it missed
	@.venv-dev/bin/python -m pytest --cov $(ARGS)

bench: .venv-dev ## Run the benchmarks: a table here, JSON in bench.json
	@.venv-dev/bin/python -m tests.benchmarks $(ARGS)

lint: .venv-dev ## Check style, format and types
	.venv-dev/bin/python -m ruff check
	.venv-dev/bin/python -m ruff format --check
	.venv-dev/bin/python -m mypy

# The locks are valid for every platform and Python of pyproject.toml. They contain no address: the
# person who installs chooses the index. uv keeps locked versions unless --upgrade is given. Extras
# are kept: without them pip would look for the newest `coverage[toml]` and miss its hash.
lock: ## Lock the dependencies again (ARGS="--upgrade" for the newest versions)
	@$(find_python); \
	tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	"$$python" -m venv "$$tools"; "$$tools/bin/python" -m pip install --quiet uv; \
	compile() { "$$tools/bin/uv" pip compile --quiet --no-config --universal --python-version 3.11 \
		--generate-hashes --no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		pyproject.toml "$$@"; }; \
	compile --extra cli --extra scale --output-file requirements.lock $(ARGS); \
	compile --extra cli --extra scale --extra dev --constraints requirements.lock \
		--output-file requirements-dev.lock $(ARGS); \
	if grep -nE '://|^-' requirements.lock requirements-dev.lock; then \
		echo 'A lock contains an address or an option; see above.' >&2; exit 1; fi

clean: ## Remove the environments and the files of tools (never your data)
	rm -rf .venv .venv-dev build dist *.egg-info
	rm -rf tests/clients/node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find service connectors tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment stores the lock that it was created from, as the last step: an interrupted, outdated
# or broken one (its Python was removed) is created again. Of the packages for development, most modules
# are never imported: those that are, are compiled then.
.venv: LOCK = requirements.lock
.venv-dev: LOCK = requirements-dev.lock
.venv-dev: COMPILE = --no-compile
.venv .venv-dev:
	@if "$@/bin/python" -c '' 2>/dev/null && cmp -s $(LOCK) "$@/made-from.lock"; then exit 0; fi; \
	$(find_python); \
	echo "Creating $@ from $(LOCK) with $$("$$python" --version)" >&2; \
	rm -rf "$@"; \
	"$$python" -m venv "$@"; \
	"$@/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps $(COMPILE) -r $(LOCK); \
	"$@/bin/python" -m pip --disable-pip-version-check check --quiet; \
	cp $(LOCK) "$@/made-from.lock"

# Sets $python to the first suitable candidate. Debian ships venv without ensurepip, so both are tried.
define find_python
set -eu; python=''; bare=''; \
for candidate in $(CANDIDATES); do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	bare="$$candidate"; \
	"$$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	python="$$candidate"; break; \
done; \
if [ -z "$$python" ] && [ -n "$$bare" ]; then \
	echo "$$bare cannot create virtual environments: apt-get install python3-venv" >&2; exit 1; \
elif [ -z "$$python" ]; then \
	echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 1; \
fi
endef
