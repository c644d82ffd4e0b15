# `make` creates .venv, the full working environment (zoo, training, tools) with the `lineage` command in it.
# `make serve` needs none of that: its own environment has no torch and is ready in seconds.
#
# PYTHON=python3.12 make          another interpreter (3.11 or newer)
# PIP_EXTRA_INDEX_URL=... make    another package index, e.g. PyTorch's for the CPU: the default build of torch on
#                                 Linux brings several GB of CUDA libraries
# ARGS='--port 9000' make serve   flags of `lineage serve`; `ARGS=-x make test` those of pytest

PYTHON ?= python3
LOCK := requirements/lock.txt
WORK := .venv
SERVE := .venv-serve
SERVE_TEST := .venv-serve-test
PYTEST_ARGS := -q -n auto --dist loadfile $(ARGS)

.PHONY: browser install serve test test-all lint check bench ui-elements lock clean

install: $(WORK)/.ready

serve: $(SERVE)/.ready
	$(SERVE)/bin/lineage serve $(ARGS)

# The playground is tested in a browser, which only the system can install.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium >/dev/null; } || \
	    echo "without Chromium the playground's tests are skipped; on Debian and Ubuntu: apt install chromium" >&2

# The service and the contract run first where torch is not installed, as in production.
test: browser $(SERVE_TEST)/.ready $(WORK)/.ready
	$(SERVE_TEST)/bin/python -m pytest $(PYTEST_ARGS) -m "not slow" tests/model_zoo/contract tests/model_zoo/runtime tests/service
	$(WORK)/bin/python -m pytest $(PYTEST_ARGS) -m "not slow"

test-all: browser $(SERVE_TEST)/.ready $(WORK)/.ready
	$(SERVE_TEST)/bin/python -m pytest $(PYTEST_ARGS) tests/model_zoo/contract tests/model_zoo/runtime tests/service
	$(WORK)/bin/python -m pytest $(PYTEST_ARGS)

lint: $(WORK)/.ready
	$(WORK)/bin/ruff check
	$(WORK)/bin/ruff format --check
	$(WORK)/bin/mypy
	$(WORK)/bin/lint-imports

check: lint test

# ARGS='--repository models --model NAME --raw RAW.onnx --image IMAGE.jpg' make bench
bench: $(WORK)/.ready
	$(WORK)/bin/python benchmarks/serve.py $(ARGS)

# The model that comes with the service, from rendered pages to a package in build/ui-elements/models. It takes two hours; a
# second call goes on where the first stopped. ARGS='--seed 1' make ui-elements
ui-elements: $(WORK)/.ready examples/ui_elements/node_modules/.package-lock.json
	$(WORK)/bin/python -m examples.ui_elements.make --output build/ui-elements $(ARGS)

%/node_modules/.package-lock.json: %/package.json
	npm install --prefix $*
	touch $@

# One lock for every environment: what is tested is what is served. A build of torch (`+cpu`) is the machine's choice.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --upgrade pip
	.venv-lock/bin/pip install --quiet "torch==2.13.0" ".[dev]"
	.venv-lock/bin/pip freeze --all --exclude pip --exclude yolo-lineage | sed 's/+cpu$$//' > $(LOCK)
	rm -rf .venv-lock

clean:
	rm -rf $(WORK) $(SERVE) $(SERVE_TEST) .venv-lock build dist *.egg-info

$(WORK)/.ready: EXTRAS := dev
$(SERVE)/.ready: EXTRAS := cpu
$(SERVE_TEST)/.ready: EXTRAS := cpu,test

$(WORK)/.ready $(SERVE)/.ready $(SERVE_TEST)/.ready: pyproject.toml $(LOCK)
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	    { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12 make" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" || \
	    { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable ".[$(EXTRAS)]"
	@touch $@
