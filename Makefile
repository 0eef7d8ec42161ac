# Every target sets up what it needs, in a virtual environment of the checkout.
#
#   make demo       build, and show the main job on a checkpoint that TensorFlow wrote
#   make test       the tests, with TensorFlow 2.21 as the oracle where there is a wheel of it
#   make test-tf1   the tests against TensorFlow 1.15, which needs Python 3.7
#   make check-c    the C core's own tests under sanitizers, without Python
#   make check-c-s390x  the same on big-endian s390x, emulated by QEMU; seconds, needs apt
#   make test-s390x     that, and the Python tests there, in a root of Debian's packages
#   make test-asan  the Python tests with the extension modules under AddressSanitizer
#   make fuzz       coverage-guided fuzzing of the C core and of the Python surface; T=600 seconds,
#                   needs clang and Python 3.11
#   make faults     saves killed, disks full, power lost, at every file-system call; half an hour
#   make docs       the documentation site, in site/
#   make sdist      the source archive, in dist/
#   make wheels     a wheel for each Python there is, in dist/, from the source archive: for manylinux,
#                   and tested away from the checkout; PYTHONS='python3.12 python3.13' chooses
#   make load       a million tensors, thousands of shards, ten minutes of saves and restores
#   make bench      time and memory against TensorFlow and safetensors
#   make bench-instructions  instruction counts of the hot paths against stored ones; needs valgrind
#   make lint       ruff, mypy, stubtest, cython-lint, clang-format, schemas of the workflows
#   make format     the Python and C sources as ruff and clang-format lay them out
#   make cibuildwheel   the wheels of a release for this system, in dist/; on Linux it needs Docker
#   make check-release  whether TAG=v1.2.3 is what package, changelog and citation say
#
# PYTHON chooses the interpreter, VENV where its environment goes:
#   make test PYTHON=python3.13 VENV=.venv313

PYTHON ?= python3
VENV ?= .venv
VENV_TF1 ?= .venv-tf1
VENV_ASAN ?= .venv-asan
VENV_DOCS ?= .venv-docs
VENV_FUZZ ?= .venv-fuzz
VENV_WHEELS ?= .venv-wheels
# TensorFlow 1.15 has wheels for Python 3.7 at the latest
PYTHON37 ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.7.*/bin/python) python3.7)
# seconds of fuzzing
T ?= 600
# Cython adds 0 to NULL where a call has no arguments
FUZZ_CFLAGS = -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize=pointer-overflow \
    -fno-sanitize-recover=all -fno-omit-frame-pointer

BIN = $(VENV)/bin
# what pytest adds by itself (pythonpath in pyproject.toml), for the scripts of the tests
ON_PATH = PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tests/support:$(CURDIR)/tests/golden/scripts
# what measures memory, limits it or preloads a library of its own, looks for the package's sources
# in the checkout, or needs other packages
NOT_ASAN = $(addprefix tests/, test_layers.py test_sdist.py test_repository.py test_docs.py test_notebook.py \
    test_instructions.py storage/test_lines.py \
    cli interop bundle/test_lifetime.py bundle/test_shared.py bundle/test_gil.py bundle/test_large_files.py \
    storage/test_crash.py storage/test_power_loss.py storage/test_faults.py storage/test_odd_files.py \
    analysis/test_report_browser.py)
# what measures memory or time, looks for tools of development, or reads gigabytes
NOT_S390X = $(addprefix tests/, test_layers.py test_sdist.py test_docs.py test_repository.py \
    test_instructions.py bundle/test_lifetime.py bundle/test_gil.py bundle/test_large_files.py \
    storage/test_crash.py storage/test_power_loss.py storage/test_odd_files.py fuzz)
TF1_TESTS = $(addprefix tests/, bundle/test_interop*.py bundle/test_property.py \
    train/test_saver_steps.py train/test_saver_tf1.py v1 graph/test_constants.py graph/test_meta*.py \
    train/test_objects*.py edit)
SOURCES = setup.py pyproject.toml $(wildcard csrc/*.[ch] fastckpt/*/*.pyx fastckpt/*/*.pxd)
PACKAGE = $(SOURCES) $(wildcard fastckpt/*.py fastckpt/*/*.py fastckpt/*/*.pyi)
EXTRAS = cli,convert,pandas

.PHONY: demo test test-tf1 test-asan check-c check-c-s390x test-s390x fuzz \
    fuzz-coverage faults docs sdist wheels load bench bench-instructions lint format cibuildwheel \
    check-release clean

demo: $(VENV)/.built
	$(BIN)/python examples/demo.py
	$(BIN)/python examples/save_and_restore.py
	$(BIN)/python examples/transfer_learning.py

test: $(VENV)/.tools
	$(BIN)/python -m pytest

test-tf1: $(VENV)/.tools $(VENV_TF1)/.tools
	FASTCKPT_TF1_PYTHON=$(VENV_TF1)/bin/python $(BIN)/python -m pytest \
	    -m live $(TF1_TESTS)

check-c:
	$(MAKE) -C tests/c check

check-c-s390x:
	.ci/s390x.sh c

test-s390x: check-c-s390x
	.ci/s390x.sh python -m "not live" $(addprefix --ignore=, $(NOT_S390X))

# The interpreter itself is not instrumented: the runtime is preloaded, and leaks, which every
# interpreter has at exit, are not looked for. TensorFlow does not run under it.
test-asan: $(VENV_ASAN)/.built
	nm -D $(VENV_ASAN)/lib/python3*/site-packages/fastckpt/bundle/_reader*.so | grep -q __asan_init
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc \
	    $(VENV_ASAN)/bin/pytest -k "not memory" -m "not live" \
	    $(addprefix --ignore=, $(NOT_ASAN))

# T seconds in all, 2 targets at a time; then against TensorFlow's reader.
fuzz: $(VENV_FUZZ)/.built $(VENV)/.tools
	$(ON_PATH) $(VENV_FUZZ)/bin/python tests/fuzz/run.py --seconds $$(($(T) * 9 / 10)) $(FUZZ_ARGS)
	$(ON_PATH) $(BIN)/python tests/fuzz/differential.py --seconds $$(($(T) / 10))

# Every point of every kind of save; `make test` has a part of it.
faults: $(VENV)/.tools
	for kind in crash power errors reads; do $(BIN)/python -m tests.faults $$kind || exit 1; done

fuzz-coverage: $(VENV_FUZZ)/.built
	$(ON_PATH) $(VENV_FUZZ)/bin/python tests/fuzz/reached.py

docs: $(VENV_DOCS)/.built
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build --strict --quiet
	@echo "open site/index.html"

sdist: $(VENV_WHEELS)/.tools
	rm -f dist/*.tar.gz
	$(VENV_WHEELS)/bin/python -m build --sdist --outdir dist .

wheels: sdist
	rm -f dist/*.whl
	.ci/wheels $(VENV_WHEELS) dist $(PYTHONS)

load: $(VENV)/.tools
	$(BIN)/python tests/support/load.py $(LOAD_ARGS)

bench: $(VENV)/.tools
	$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

# BENCH_ARGS=--update stores the counts of this interpreter.
bench-instructions: $(VENV)/.built
	$(BIN)/python -m benchmarks.instructions $(BENCH_ARGS)

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" cython-lint fastckpt
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	$(call conform,github-workflows,.github/workflows/*.yml)
	$(call conform,github-issue-forms,$(addprefix .github/ISSUE_TEMPLATE/, bug.yml feature.yml))
	$(call conform,github-issue-config,.github/ISSUE_TEMPLATE/config.yml)
	$(call conform,dependabot,.github/dependabot.yml)
	$(call conform,citation-file-format,CITATION.cff)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist tests/typing/stubtest.allow \
	    $(subst /,.,$(patsubst %.pyi,%,$(wildcard fastckpt/*/*.pyi)))

C_SOURCES = $(wildcard csrc/*.[ch] tests/c/*.[ch] tests/faults/*.[ch])
# Checks files against a schema that the tool brings along.
conform = $(BIN)/check-jsonschema --quiet --default-filetype yaml --builtin-schema vendor.$(1) $(2)

format: $(VENV)/.tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

cibuildwheel: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet 'cibuildwheel==4.3.*'
	$(BIN)/python -m cibuildwheel --output-dir dist

check-release: $(VENV)/bin/python
	$(BIN)/python .ci/check_release.py '$(TAG)'

# Dependency groups need pip 25.1; older Pythons bring an older one.
%/bin/python:
	$(PYTHON) -m venv $*
	$@ -m pip install --quiet --upgrade 'pip>=25.1'

# An editable install builds the extension modules beside their sources.
$(VENV)/.built: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.tools: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --group test --group bench --group lint
	touch $(VENV)/.built $@

# What a build leaves, the next one takes, whatever flags it has.
UNUSABLE = build/lib.* build/temp.*

# A copy of the package: the checkout's own extension modules are not instrumented.
$(VENV_ASAN)/.built: $(VENV_ASAN)/bin/python $(PACKAGE)
	$(VENV_ASAN)/bin/python -m pip install --quiet --group pytest
	rm -rf $(UNUSABLE)
	FASTCKPT_SANITIZE=1 $(VENV_ASAN)/bin/python -m pip install --quiet --force-reinstall .
	rm -rf $(UNUSABLE)
	touch $@

# A copy, too: of a compiled package the docstrings are where it is installed.
$(VENV_DOCS)/.built: $(VENV_DOCS)/bin/python $(PACKAGE)
	$(VENV_DOCS)/bin/python -m pip install --quiet --force-reinstall --no-deps .
	$(VENV_DOCS)/bin/python -m pip install --quiet . --group docs
	touch $@

$(VENV_FUZZ)/.built: $(VENV_FUZZ)/bin/python $(PACKAGE)
	@clang --version >/dev/null || { echo 'fuzzing needs clang and its runtime (Debian: clang libclang-rt-14-dev)'; exit 1; }
	rm -rf $(UNUSABLE)
	$(VENV_FUZZ)/bin/python -m pip install --quiet \
	    atheris coverage 'setuptools>=77' 'Cython>=3.1,<4' 'numpy>=2.0'
	CC=clang LDSHARED='clang -shared' CFLAGS='$(FUZZ_CFLAGS)' \
	    $(VENV_FUZZ)/bin/python -m pip install --quiet --force-reinstall .
	rm -rf $(UNUSABLE)
	touch $@

$(VENV_WHEELS)/.tools: $(VENV_WHEELS)/bin/python
	$(VENV_WHEELS)/bin/python -m pip install --quiet --group wheels
	touch $@

$(VENV_TF1)/.tools:
	$(PYTHON37) -m venv $(VENV_TF1)
	$(VENV_TF1)/bin/python -m pip install --quiet 'tensorflow==1.15.5' 'protobuf<3.21' 'numpy<1.19'
	touch $@

clean:
	rm -rf build dist *.egg-info site tests/c/build
	rm -rf $(VENV) $(VENV_TF1) $(VENV_ASAN) $(VENV_DOCS) $(VENV_FUZZ) $(VENV_WHEELS)
	find fastckpt -name '*.so' -delete
