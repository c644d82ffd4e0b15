# `make` creates .venv, the development environment with all extras and the `lineage` command.
# `make serve` does not need it: it has its own environment, without torch, which is ready in seconds.
#
# PYTHON=python3.12 make          use another interpreter (3.11 or newer)
# PIP_EXTRA_INDEX_URL=... make    use another package index, such as PyTorch's for CPUs: the default build of torch on
#                                 Linux installs several GB of CUDA libraries
# ARGS='--port 9000' make serve   pass flags to `lineage serve`; `ARGS=-x make test` passes them to pytest

PYTHON ?= python3
LOCK := requirements/lock.txt
WORK := .venv
SERVE := .venv-serve
SERVE_TEST := .venv-serve-test
AUDIT := .venv-audit
PYTEST_ARGS := -q -n auto --dist loadfile $(ARGS)

.PHONY: programs install serve test test-all test-clients test-ray lint check bench bench-peers soak ui-elements lock clean dist docs images sbom audit proto

install: $(WORK)/.ready

serve: $(SERVE)/.ready
	$(SERVE)/bin/lineage serve $(ARGS)

# Programs that tests run and only the system can install: Chromium for the pages, promtool for metrics and alert rules.
programs:
	@for program in chromium:chromium openssl:openssl promtool:prometheus; do \
	    command -v $${program%:*} >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	        apt-get update -qq && apt-get install -qq --yes --no-install-recommends $${program#*:} >/dev/null; } || \
	        echo "tests of $${program%:*} are skipped; on Debian and Ubuntu: apt install $${program#*:}" >&2; \
	done

# One worker per core, so one thread per worker: more would wait for each other.
test test-all: export OMP_NUM_THREADS = 1

# Tests of contract, runtime and service run first without torch, as in production. These need nothing else:
RUN_ONCE := $(addprefix --ignore=tests/,model_zoo/contract service/access service/engine_host service/inference \
    service/middleware service/telemetry service/web service/api/deepstack service/api/doods service/api/labelstudio \
    service/api/native service/api/roboflow) \
    "--ignore-glob=*/service/api/oip/test_*.py" "--ignore-glob=*/service/deploy/test_[!gz]*.py"

test: programs $(SERVE_TEST)/.ready $(WORK)/.ready
	$(SERVE_TEST)/bin/python -m pytest $(PYTEST_ARGS) -m "not slow" tests/model_zoo/contract tests/model_zoo/runtime tests/service
	$(WORK)/bin/python -m pytest $(PYTEST_ARGS) -m "not slow" $(RUN_ONCE)

test-all: programs $(SERVE_TEST)/.ready $(WORK)/.ready
	$(SERVE_TEST)/bin/python -m pytest $(PYTEST_ARGS) tests/model_zoo/contract tests/model_zoo/runtime tests/service
	$(WORK)/bin/python -m pytest $(PYTEST_ARGS)

CLIENTS := $(patsubst tests/clients/requirements/%.txt,build/clients/%/.ready,$(wildcard tests/clients/requirements/*.txt))

# Unmodified clients from the package index, each in an environment of its own. ARGS='-k triton' make test-clients
test-clients: $(WORK)/.ready $(CLIENTS)
	$(WORK)/bin/python -m pytest -q $(ARGS) tests/clients

build/clients/%/.ready: tests/clients/requirements/%.txt
	$(PYTHON) -m venv $(@D)
	@if $(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<; then touch $@; else \
	    echo "tests of $* are skipped: it cannot be installed here" >&2; fi

# Ray Serve, Ray Data and Ray Train on a Ray of this machine, about 6 minutes on two cores. ARGS='-k killed' make test-ray
test-ray: build/ray/.ready
	build/ray/bin/python -m pytest -q $(ARGS) tests/service/deploy/ray tests/model_zoo/batch/test_ray_data.py \
	    tests/examples/test_ray_train.py

build/ray/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --constraint $(LOCK) --editable ".[batch,client,ray,test,training]" "ray[train]"
	@touch $@

lint: $(WORK)/.ready
	$(WORK)/bin/ruff check
	$(WORK)/bin/ruff format --check
	$(WORK)/bin/mypy
	$(WORK)/bin/ty check --output-format concise
	$(WORK)/bin/lint-imports

check: lint test

# ARGS='--repository models --model NAME --raw RAW.onnx --image IMAGE.jpg' make bench
bench: $(WORK)/.ready
	$(WORK)/bin/python benchmarks/serve.py $(ARGS)

PEERS := $(patsubst benchmarks/peers/requirements/%.txt,build/peers/%/.ready,$(wildcard benchmarks/peers/requirements/*.txt))

# `lineage serve` beside other servers of the same network, each in an environment of its own: 35 minutes on two cores.
# ARGS='--only lineage,triton --rounds 1' make bench-peers
bench-peers: $(WORK)/.ready $(PEERS) build/peers/yolov5n-raw.onnx
	$(WORK)/bin/python -m benchmarks.peers --images $(IMAGES) $(ARGS)

build/peers/%/.ready: benchmarks/peers/requirements/%.txt
	$(PYTHON) -m venv $(@D)
	@if $(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<; then touch $@; else \
	    echo "$* is not measured: it cannot be installed here" >&2; fi

build/peers/yolov5n-raw.onnx: | $(WORK)/.ready
	$(WORK)/bin/lineage import $(WEIGHTS) --name yolov5n --repository build/peers/models
	$(WORK)/bin/lineage export $(WEIGHTS) --raw --output $@

# Long checks of the service, one after the other, about 75 minutes on two cores: soak, swaps, overload, faults, fuzzing and
# shadow traffic. Each one writes benchmarks/results and fails if a criterion does. WEIGHTS and IMAGES are the official
# yolov5n.pt and a folder of images.
SHARED ?= ../shared
WEIGHTS ?= $(SHARED)/weights/yolov5n.pt
IMAGES ?= $(SHARED)/data/coco_mini/images
SOAK := build/soak
soak: $(WORK)/.ready
	rm -rf $(SOAK) && mkdir -p $(SOAK)
	$(WORK)/bin/lineage import $(WEIGHTS) --name yolov5n --repository $(SOAK)/models
	$(WORK)/bin/python -m benchmarks.soak --weights $(WEIGHTS)
	$(WORK)/bin/python -m benchmarks.swaps --swaps 1000
	$(WORK)/bin/python -m benchmarks.overload --repository $(SOAK)/models --model yolov5n --image $$(ls $(IMAGES)/*.jpg | head -1)
	$(WORK)/bin/python -m benchmarks.faults
	$(WORK)/bin/python -m benchmarks.fuzz_api --seconds 300
	$(WORK)/bin/python -m benchmarks.shadow --weights $(WEIGHTS) --images $(IMAGES)

# Make the bundled model, from rendered pages to a package in build/ui-elements/models. It takes two hours. A second call
# resumes an interrupted one. ARGS='--seed 1' make ui-elements
ui-elements: $(WORK)/.ready examples/ui_elements/node_modules/.package-lock.json
	$(WORK)/bin/python -m examples.ui_elements.make --output build/ui-elements $(ARGS)

%/node_modules/.package-lock.json: %/package.json
	npm install --prefix $*
	touch $@

PROTO := service/api/oip/proto

# The description of the gRPC protocol that the server reads.
proto: $(WORK)/.ready
	$(WORK)/bin/python -m grpc_tools.protoc -I$(PROTO) --descriptor_set_out=$(PROTO)/inference.binpb $(PROTO)/inference.proto

# The images of docker-compose.yml, also tagged with the version: yolo-lineage:0.1.0-cpu. ARGS are flags of `docker build`.
# TARGETS=cpu ARGS=--pull make images
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
TARGETS ?= cpu gpu training
images:
	@for target in $(TARGETS); do \
	    docker build $(ARGS) --target $$target --tag yolo-lineage:$$target --tag yolo-lineage:$(VERSION)-$$target . || exit; \
	done

# Bills of materials (CycloneDX) and lists of licenses of the wheel and the images in build/sbom. Needs the package index.
sbom: $(WORK)/.ready
	$(WORK)/bin/pip install --quiet --disable-pip-version-check --upgrade "pip>=25"
	$(WORK)/bin/python -m tools.sbom $(ARGS)

# Wheel and source archive in dist/, checked. The wheel is built from the archive, so the archive is complete. Equal commits
# make equal bytes: times are those of the last commit, and the build tools are pinned.
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: build/dist/.ready
	rm -rf dist
	build/dist/bin/python -m build --no-isolation --outdir dist .
	build/dist/bin/twine check --strict dist/*
	build/dist/bin/check-wheel-contents dist/*.whl

# The documentation site in build/docs/site. A dead link fails. Pages load nothing from other hosts. Needs npm, for the diagrams.
DOCS := build/docs
docs: $(DOCS)/.ready $(DOCS)/mermaid.min.js
	$(PYTHON) -m tools.site --output $(DOCS)/sources
	mkdir $(DOCS)/sources/assets && cp $(DOCS)/mermaid.min.js $(DOCS)/sources/assets
	$(DOCS)/bin/zensical build --strict --clean
	@echo "to read it: $(PYTHON) -m http.server --directory $(DOCS)/site"

$(DOCS)/mermaid.min.js: | $(DOCS)/.ready
	cd $(DOCS) && tar -xzf "$$(npm pack --silent mermaid@12.3.0)" --strip-components=2 package/dist/mermaid.min.js

build/dist/.ready build/docs/.ready: build/%/.ready: requirements/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Known vulnerabilities of all locked packages. Needs PyPI's advisories, or those of OSV: ARGS='-s osv' make audit
audit: $(AUDIT)/bin/pip-audit
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off $(ARGS) \
	    -r requirements/lock.txt -r requirements/gpu.txt

$(AUDIT)/bin/pip-audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check "pip-audit>=2.10"

# One lock for every environment, so that tested versions are served. The build of torch (`+cpu`) depends on the machine.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --upgrade pip
	.venv-lock/bin/pip install --quiet "torch==2.13.0" ".[dev]"
	.venv-lock/bin/pip freeze --all --exclude pip --exclude yolo-lineage | sed 's/+cpu$$//' > $(LOCK)
	rm -rf .venv-lock

clean:
	rm -rf $(WORK) $(SERVE) $(SERVE_TEST) $(AUDIT) .venv-lock build dist .cache *.egg-info

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
	@if [ $(EXTRAS) = dev ]; then \
	    $(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --constraint $(LOCK) trackers; fi
	@touch $@
