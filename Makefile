# `make demo` and `make test` set everything up by themselves; `make` alone lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EASYOCR_STAMP := $(VENV)/.installed-easyocr
DEMO := demo
IN_PARALLEL := --numprocesses 2 --dist worksteal

python_version = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# $(call apt,PACKAGES) installs Debian packages, and fails where there is no apt-get, root or password-less sudo.
apt = { command -v apt-get >/dev/null && \
	if [ "$$(id -u)" -eq 0 ]; then sudo=; else sudo="sudo -n"; $$sudo true 2>/dev/null; fi && \
	echo "installing $(1)" && \
	$$sudo apt-get update --quiet && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $(1) </dev/null; }

# pdqhash comes as source alone.
can_compile = { command -v g++ >/dev/null && \
	$(PYTHON) -c 'import pathlib, sysconfig as s; pathlib.Path(s.get_path("include"), "Python.h").stat()' 2>/dev/null; }
compiler_advice = pdqhash is compiled here, for which g++ or Python.h is missing; as root: \
	apt-get install g++ python$(python_version)-dev

tesseract_advice = the tests of the engine tesseract will be skipped, for it finds no eng.traineddata. As root: \
	apt-get install tesseract-ocr. Elsewhere: set TESSDATA_PREFIX to the folder of that file

chromium_advice = the tests of pages will be skipped, for there is no chromium. As root: apt-get install chromium

.DEFAULT_GOAL := help
.PHONY: help setup setup-easyocr java tesseract chromium install wheel demo test soak test-fast check screenshots bench clean
.DELETE_ON_ERROR:

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 24

setup: java $(STAMP) ## Java, and .venv with all that curate needs (another Python: make setup PYTHON=python3.12)

setup-easyocr: $(EASYOCR_STAMP) ## EasyOCR, PyTorch, trainings, readers of shards, too: 3 GB to download, 6 GB on disk

java:
	@scripts/java.sh

# English comes with it; other languages are packages of their own, as tesseract-ocr-deu.
tesseract: ## Debian's tesseract-ocr, for the text engine of that name; without it, its tests are skipped
	@for folder in $${TESSDATA_PREFIX:-/usr/share/tesseract-ocr/*/tessdata /usr/share/tessdata}; do \
		if [ -e "$$folder/eng.traineddata" ]; then exit 0; fi; \
	done; \
	$(call apt,tesseract-ocr) || echo "$(tesseract_advice)" >&2

chromium: ## Debian's chromium, which the tests of pages drive; without it, they are skipped
	@command -v chromium >/dev/null || $(call apt,chromium) || echo "$(chromium_advice)" >&2

# pip takes the versions of build backends from PIP_BUILD_CONSTRAINT, before pip 25.3 from PIP_CONSTRAINT.
$(STAMP) $(EASYOCR_STAMP) install wheel: export PIP_CONSTRAINT := constraints.txt
$(STAMP) $(EASYOCR_STAMP) install wheel: export PIP_BUILD_CONSTRAINT := constraints.txt
$(STAMP) $(EASYOCR_STAMP) install wheel: export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "curate needs Python 3.11 to 3.13; say which: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,python$(python_version)-venv) || \
		{ echo "$(PYTHON) cannot make environments; as root: apt-get install python$(python_version)-venv" >&2; exit 1; }
	@$(can_compile) || $(call apt,g++ python$(python_version)-dev) || true
	@$(BIN)/python -m pip --version 2>/dev/null | grep -q '(python $(python_version))' || \
		$(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV): less than 1 GB to download, a minute or two"
	@$(BIN)/python -m pip install --quiet -e '.[dev]' || { $(can_compile) || echo "$(compiler_advice)" >&2; exit 1; }
	@touch $@

$(EASYOCR_STAMP): $(STAMP)
	@echo "installing EasyOCR, PyTorch, lightly and readers of shards into $(VENV): about 3 GB to download, 6 GB on disk"
	@$(BIN)/python -m pip install --quiet -e '.[easyocr,embed,readers,train]'
	@touch $@

# What a driver or an executor of a cluster needs, and no more: the Dockerfile calls it. Set PYTHON to an environment's.
install: ## curate, without what only developers need, into the environment of PYTHON
	@$(can_compile) || $(call apt,g++ python$(python_version)-dev) || true
	$(PYTHON) -m pip install --quiet --constraint constraints.txt '.[s3,gcs,azure]' || \
		{ $(can_compile) || echo "$(compiler_advice)" >&2; exit 1; }

wheel: $(STAMP) ## dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

demo: setup $(DEMO)/corpus/truth.csv ## the whole pipeline over 400 generated images, read back with webdataset
	$(BIN)/curate run examples/demo.yaml --restart
	$(BIN)/python -m examples.read_shards $(DEMO)/out/shards
	$(BIN)/curate show $(DEMO)/out/shards --rows 0
	$(BIN)/curate report $(DEMO)/out/chosen -o $(DEMO)/report
	@echo
	@echo "images      $(DEMO)/corpus/*.tar, what each is in $(DEMO)/corpus/truth.csv"
	@echo "manifests   $(DEMO)/out/scan, deduped, scored, chosen, shards: why each image was kept or dropped"
	@echo "shards      $(DEMO)/out/shards/*.tar"
	@echo "pipeline    examples/demo.yaml, to copy"
	@echo "report      $(DEMO)/report/index.html, to open in a browser"

$(DEMO)/corpus/truth.csv: | $(STAMP)
	$(BIN)/python -m examples.corpus $(DEMO)/corpus --images 400

# Two processes, each with one Spark session; the one that has no tests left takes over half of the other's.
test: setup tesseract chromium ## all tests (EasyOCR and embeddings: after make setup-easyocr), or FILE="tests/a/test_b.py …"
	@$(BIN)/python -m pytest $(if $(FILE),$(FILE),$(IN_PARALLEL))

soak: setup ## the protocol of runs, killed and overtaken in 5,000 random orders: half an hour
	@CURATE_SOAK_EXAMPLES=5000 $(BIN)/python -m pytest tests/jobs/units/test_protocol.py -k disk

test-fast: setup ## the tests that need neither Spark nor a model, in a minute
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "not (spark or model or slow)"

check: $(STAMP) ## style, types, the direction of imports, and the Dockerfile
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

screenshots: setup chromium ## docs/images, of the report that the demo left
	$(BIN)/python -m scripts.screenshots $(DEMO)/report docs/images

bench: setup ## every measurement of benchmarks, on this machine
	@set -e; for file in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py); done

clean: ## remove .venv, the demo and every cache
	rm -rf $(VENV) $(DEMO) build dist *.egg-info spark-warehouse artifacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
