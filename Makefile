# Admit: `make help` lists what can be done. Works with GNU make 3.81 and any POSIX shell.
SHELL = /bin/sh
.DEFAULT_GOAL = help

# The first of these that is really 3.11 or newer makes .venv; `make PYTHON=/path/to/python` chooses.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3
# More for the program that a target starts: `make run ARGS=--once`, `make test ARGS="-k budget"`.
ARGS ?=

VENV = .venv
PY = $(VENV)/bin/python
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes
# A process that is done takes tests from the others.
PYTEST = $(PY) -m pytest --dist worksteal --numprocesses auto $(ARGS)
# Checks and tests never look at the .env and the database of this installation.
CHECK_ENV = ADMIT_ENV_FILE=$(VENV)/check.env DATABASE_URL=sqlite:///var/check.sqlite3
# Hashes must be those of PyPI and never those of a wheel that only this machine has.
LOCK = env -u PIP_FIND_LINKS -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: run
run: install ## Set up what is missing, then the demo: a sample school, a purchase and a refund
	@$(PY) manage.py migrate --verbosity 0
	@exec $(PY) manage.py demo $(ARGS)

.PHONY: install
install: $(VENV)/.installed env-file ## Set up only: .venv with the locked packages, .env with fresh keys

.PHONY: test
test: $(VENV)/.installed-dev env-file browser check test-sqlite test-postgres ## Every check and test, as CI runs them

# One after the other also under `make -j`: they share files, ports and the reader's screen.
.NOTPARALLEL:

.PHONY: test-sqlite
test-sqlite: $(VENV)/.installed-dev ## The tests on SQLite
	@echo "== Tests on SQLite"
	@DATABASE_URL=sqlite:///var/test.sqlite3 $(PYTEST)

.PHONY: test-postgres
test-postgres: $(VENV)/.installed-dev ## The tests on a temporary PostgreSQL
	@echo "== Tests on PostgreSQL"
	@# Not in a browser: it does not see which database is behind the pages. Nor what has nothing
	@# to do with any database: it has run on SQLite.
	@$(PY) -m tests.support.postgres run -- $(PYTEST) -m "not browser" --second-database

.PHONY: check
check: $(VENV)/.installed-dev $(VENV)/check.env ## Format, lint, types, import contract, migrations
	@echo "== Checks"
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@# These run beside mypy, which keeps one processor busy longer than all of them. Collecting the tests
	@# also compiles them, so that their processes need not each do it.
	@{ $(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' && \
		$(CHECK_ENV) $(PY) manage.py makemigrations --check --dry-run && \
		$(CHECK_ENV) $(PY) manage.py check && \
		{ found=$$($(PY) -m pytest --collect-only --quiet 2>&1) || { echo "$$found"; false; }; }; } & \
	others=$$!; \
	$(CHECK_ENV) $(PY) -m mypy; types=$$?; \
	wait $$others && exit $$types

.PHONY: bench
bench: $(VENV)/.installed-dev ## Benchmarks
	@exec $(PY) -m tests.bench $(ARGS)

.PHONY: faults
faults: $(VENV)/.installed-dev ## Kill, stop and starve Admit; what was lost or done twice (about half an hour a database)
	@exec $(PY) -m tests.faults $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.installed-dev browser ## Take the README's pictures again
	@$(PY) -m tests.support.screenshots --readme

# Needs GNU gettext, which tests and a running Admit do not.
.PHONY: messages
messages: $(VENV)/.installed-dev $(VENV)/check.env ## Collect the sentences of the pages for translation, and compile what is translated
	@$(CHECK_ENV) $(PY) manage.py makemessages --locale es --no-location --no-wrap --no-obsolete --ignore tests --ignore var --ignore build --ignore docs
	@$(CHECK_ENV) $(PY) manage.py compilemessages --locale es --ignore .venv

.PHONY: format
format: $(VENV)/.installed-dev ## Write the format that `make check` asks for
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

# The development lock holds every pin of the other one, so that tests run what is deployed.
.PHONY: lock
lock: $(VENV)/.made ## Write the lock files again from pyproject.toml; ARGS=--upgrade for newer versions
	@$(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Lock with Python 3.11, the oldest that Admit supports: make clean, then make lock PYTHON=python3.11.")'
	@# Not by the lock: a lock that cannot be installed must not keep us from writing a better one.
	@$(PY) -m piptools --version >/dev/null 2>&1 || $(PY) -m pip install --quiet pip-tools
	@$(LOCK) $(ARGS) --output-file requirements.lock pyproject.toml
	@$(LOCK) $(ARGS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	@$(LOCK) $(ARGS) --extra release --constraint requirements.lock --output-file requirements-release.lock pyproject.toml
	@echo "Wrote requirements.lock, requirements-dev.lock and requirements-release.lock."

# Each step stops the ones behind it. The times in the archives are those of the commit, so that the
# same commit gives the same files.
RELEASE = .venv-release/bin
.PHONY: release
release: .venv-release/.installed ## Wheel, source archive, SBOM and audit of the locked packages, in dist/
	@rm -rf dist && mkdir dist
	@echo "== Known vulnerabilities of the locked packages"
	@$(RELEASE)/pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip --progress-spinner off || { \
		echo "No release: a package is vulnerable, or the advisory service could not be asked (see above)." >&2; exit 1; }
	@echo "== Wheel and source archive"
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(RELEASE)/python -m build --no-isolation --outdir dist . >/dev/null
	@echo "== SBOM"
	@# The version of pyproject.toml is dynamic, which cyclonedx-py leaves out.
	@version=$$($(RELEASE)/python manage.py --version | cut -d' ' -f2) && \
	sed "s/^dynamic = \[\"version\"\]/version = \"$$version\"/" pyproject.toml > .venv-release/pyproject.toml && \
	$(RELEASE)/cyclonedx-py requirements requirements.lock --pyproject .venv-release/pyproject.toml --output-reproducible \
		--output-format JSON --output-file dist/admit-$$version.cdx.json && \
	$(RELEASE)/python -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["metadata"]["component"].get("version") != sys.argv[2])' \
		dist/admit-$$version.cdx.json $$version
	@cd dist && sha256sum * > SHA256SUMS && ls -1

.venv-release/.installed: requirements-release.lock | $(VENV)/.made
	@echo "Installing the packages of requirements-release.lock ..."
	@$(PY) -m venv --clear .venv-release
	@$(RELEASE)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --requirement requirements-release.lock
	@touch $@

.PHONY: clean
clean: ## Remove .venv and caches; .env and var/ with your data stay
	@rm -rf $(VENV) .venv-release dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -f var/check.sqlite3* var/test.sqlite3*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Browser tests carry the marker `browser`; while there are none, nothing is installed for them.
.PHONY: browser
browser:
	@grep -rqs 'mark\.browser' tests || exit 0; \
	for name in chromium-headless-shell chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null 2>&1 && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "Installing Chromium for the browser tests ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0; \
	fi; \
	echo "Browser tests need Chromium, and it is not here. Install it, for example with:"; \
	echo "  sudo apt-get install chromium"; \
	[ "$${CI:-}" != true ]

.PHONY: env-file
env-file: $(VENV)/.made
	@$(PY) -m config.env_file

# A virtual environment that works is kept, one that is broken (moved, half made) is made again.
$(VENV)/.made:
	@if $(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		touch $@; exit 0; \
	fi; \
	lacking=; \
	for python in $(PYTHON); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then lacking=$$python; continue; fi; \
		echo "Making .venv with $$("$$python" --version) ..."; \
		"$$python" -m venv --clear $(VENV) && touch $@; exit; \
	done; \
	if [ -n "$$lacking" ]; then \
		echo "$$lacking lacks its venv module. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
	else \
		echo "Admit needs Python 3.11 or newer, and none was found (looked for: $(PYTHON))." >&2; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
	fi; \
	exit 1

# The stamps are newer than the lock they were made from, so a second run installs nothing.
$(VENV)/.installed: requirements.lock | $(VENV)/.made
	@echo "Installing the packages of requirements.lock ..."
	@$(PIP_INSTALL) --requirement requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements.lock | $(VENV)/.made
	@echo "Installing the packages of requirements-dev.lock ..."
	@$(PIP_INSTALL) --requirement requirements-dev.lock
	@touch $(VENV)/.installed $@

$(VENV)/check.env: .env.example | $(VENV)/.made
	@rm -f $@
	@ADMIT_ENV_FILE=$@ $(PY) -m config.env_file >/dev/null
