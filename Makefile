# `make` lists the targets. Nothing has to be set up first: a target makes, once, the environment it needs.

PYTHON3 ?= python3
PYTHON := .venv/bin/python
SAM := SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam
NPM := PATH="$(CURDIR)/.venv/bin:$$PATH" npm --no-audit --no-fund --no-update-notifier --prefix

DEV := .venv/.installed
SAM_CLI := .venv-sam/.installed
BENCH := .venv-bench/.installed
SECURITY := .venv-security/.installed
ASL_LINTERS := tests/statics/asl_linters/node_modules/.installed
CDK_NAG := tests/security/cdk_nag/node_modules/.installed

PYTEST_ARGS ?=
MODEL_ARGS ?=
TIMES ?= 10
# Recipes have it as a variable of the shell: whatever it holds is one word.
export SAM_CONFIG_ENV ?= default

# Whatever the shell says: else each of some hundred processes of a run of the tests compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo user freeze unfreeze stepfunctions-local openapi collection test soak model stability test-aws tables check check-types check-template check-code check-machines security format bench deploy lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(DEV) ## Serve the local stack on PORT (4566) until Ctrl-C, each Task LATENCY_MS (0) longer
	@$(PYTHON) -m local.run

demo: $(DEV) ## Send, fail, retry, dead-letter and redrive real messages on a local stack
	@$(PYTHON) -m local.demo

stepfunctions-local: $(DEV) ## Serve the machines as AWS's Step Functions Local does, on PORT (8083), until Ctrl-C
	@$(PYTHON) -m local.stepfunctions_local

user: $(DEV) ## Add a user to the running local stack
	@$(PYTHON) -m local.user

freeze unfreeze: $(DEV) ## Let ACCOUNT of the running local stack take no transactions, or take them again
	@$(PYTHON) -m local.account $@ "$(ACCOUNT)"

openapi collection: $(DEV) ## Write docs/openapi.json and, of it, clients/collection/
	@$(PYTHON) -m local.openapi

test: check ## Run every check and test; PYTEST_ARGS goes to pytest
	$(PYTHON) -m pytest -n 3 --dist loadgroup $(PYTEST_ARGS)

soak: $(DEV) $(ASL_LINTERS) $(SECURITY) ## Run the tests that take too long for `make test`: about 25 minutes
	$(PYTHON) -m pytest -n 3 --dist loadgroup -m soak --timeout 3600 --durations 20 $(PYTEST_ARGS)

model: $(DEV) ## Search every order of the fence protocol's calls, with spin and gcc; MODEL_ARGS=--all for the long ones too
	@$(PYTHON) -m tests.proofs.model $(MODEL_ARGS)

stability: check ## Run the whole suite TIMES (10) times in a row, or until it fails: about 90 minutes
	for run in $$(seq $(TIMES)); do echo "Run $$run of $(TIMES)" && $(PYTHON) -m pytest -n 3 --dist loadgroup $(PYTEST_ARGS) || exit 1; done

tables: $(DEV) ## Write the parts of our pages that tests make of what they find
	WRITE_TABLES=1 $(PYTHON) -m pytest -m tables $(PYTEST_ARGS)

test-aws: $(DEV) ## Run the scenarios on the deployed stack STACK_NAME, with your credentials; written, and never run so far
	$(PYTHON) -m pytest -m aws tests/deployed/test_aws.py $(PYTEST_ARGS)

# Two at a time: what makes an environment, and mypy, leave one core idle.
check: ## Lint code, types, state machines and template; changes nothing
	@$(MAKE) --no-print-directory -j2 check-types check-template check-code check-machines

check-types: $(DEV)
	.venv/bin/mypy

check-template: $(SAM_CLI)
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint

check-code: $(DEV)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/cfn-lint template.yaml

check-machines: $(ASL_LINTERS)
	$(PYTHON) -m tests.statics.asl_linters

security: $(DEV) $(SECURITY) $(CDK_NAG) ## Scan code, workflows, template and packages; fail for what has no reason in tests/security/reasons.toml
	@$(PYTHON) -m tests.security

format: $(DEV) ## Format the code and mend what ruff can mend
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format

bench: $(DEV) $(BENCH) ## Measure rates, count what AWS would bill, and price it; WRITE=1 writes docs/performance.md
	@$(PYTHON) -m local.bench

# In CI, or without a terminal, there is nobody to confirm a changeset, and SAM would abort.
deploy: $(SAM_CLI) ## Deploy to AWS with the samconfig.toml section SAM_CONFIG_ENV (default)
	$(SAM) build --build-in-source --config-env "$$SAM_CONFIG_ENV"
	$(SAM) deploy --config-env "$$SAM_CONFIG_ENV" $$([ -t 0 ] && [ -z "$$CI" ] || echo --no-confirm-changeset)

lock: $(DEV) ## Pin every dependency anew; LOCK_ARGS=--upgrade raises the versions
	for lock in lambdas/requirements requirements-dev requirements-sam requirements-bench requirements-security; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	    $(LOCK_ARGS) $$lock.in --output-file $$lock.txt || exit; \
	done
	for folder in tests/statics/asl_linters tests/security/cdk_nag; do \
	  $(NPM) $$folder install --package-lock-only --omit-lockfile-registry-resolved || exit; \
	done

clean: ## Remove everything that make has made
	rm -rf .local .venv .venv-sam .venv-bench .venv-security .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/statics/asl_linters/node_modules tests/security/cdk_nag/node_modules
	find workflows lambdas local tests -name __pycache__ -prune -exec rm -rf {} +

# Environments. --no-deps: the locks are complete, and older pips trip over a lock's extras. --no-compile: Python
# compiles what is imported, not the whole of every package.

# What makes one begins by emptying it, so never through a link: another checkout may be at work with it.
IS_OURS = [ ! -L $(@D) ] || { echo "$(@D) is a link and out of date: bring it up to date where it is." >&2; exit 1; }

$(ASL_LINTERS): tests/statics/asl_linters/package-lock.json
$(CDK_NAG): tests/security/cdk_nag/package-lock.json
%/node_modules/.installed: $(DEV)
	@$(IS_OURS)
	@$(NPM) $* ci --loglevel=error
	@touch $@

.venv/.installed: requirements-dev.txt
.venv-sam/.installed: requirements-sam.txt
.venv-bench/.installed: requirements-bench.txt
.venv-security/.installed: requirements-security.txt
%/.installed:
	@$(IS_OURS)
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON3) is too old: Python 3.11 or later is needed, for example make PYTHON3=python3.13.")'
	@echo "Making $*, once; this takes about a minute."
	@$(PYTHON3) -m venv --clear $*
	@$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	@touch $@

# `sam build` calls build-<function> for every function (CodeUri: ., BuildMethod: makefile). All get the same
# code; the packages are for the Lambda platform, not for this machine, and are fetched once. Its glibc is 2.34
# (Amazon Linux 2023), newer than what either tag asks for.

PACKAGES := .aws-sam/packages

$(PACKAGES)/.fetched: lambdas/requirements.txt
	rm -rf $(PACKAGES)
	$(firstword $(wildcard $(CURDIR)/.venv-sam/bin/python) $(PYTHON3)) -m pip install --quiet --disable-pip-version-check --no-compile \
	  --no-deps --require-hashes --only-binary :all: --implementation cp --python-version 3.13 \
	  --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 --target $(PACKAGES) -r $<
	touch $@

# Lambda cannot write bytecode, and SAM dates every file 1980, so only bytecode that checks no date is ever used; it
# halves the import time. It is valid for one minor version of Python alone: without a python3.13 it is left out.
build-%: $(PACKAGES)/.fetched
	cp -R $(PACKAGES)/. workflows lambdas "$(ARTIFACTS_DIR)"
	cd "$(ARTIFACTS_DIR)" && rm -rf .fetched bin lambdas/requirements.* && find . -name __pycache__ -prune -exec rm -rf {} +
	if python3.13 --version >/dev/null 2>&1; then \
	  cd "$(ARTIFACTS_DIR)" && python3.13 -m compileall -q --invalidation-mode unchecked-hash -s . -p /var/task .; \
	fi
