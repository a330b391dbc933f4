# The few commands of this project. PYTHON makes the virtual environment in VENV.
PYTHON ?= python3
VENV ?= .venv
CC ?= cc

python := $(abspath $(VENV))/bin/python
pip := $(python) -m pip --disable-pip-version-check --quiet
# In place: what lies here is what runs, and only what has changed is compiled.
install := $(pip) install --editable

c_sources := $(sort $(wildcard csrc/*/*.c csrc/tests/*/*.c))
c_headers := $(wildcard csrc/*/*.h csrc/*/*.inc csrc/*/*.def)
# Clang's warning of loops that stay as they are is off, as in setup.py.
c_flags := -std=c11 -O2 -g -Wall -Wextra -Werror -Wno-pass-failed -ffp-contract=off -Icsrc -DMG_TESTING

.PHONY: demo digits test develop test-c sanitize sanitize-python test-all-pythons fuzz-layers
.PHONY: bench lint typecheck docs wheel clean

demo: $(VENV)
	$(install) '.[demo]'
	$(python) -m micrograd_fast demo $(ARGS)

digits: $(VENV)
	$(install) '.[demo]'
	$(python) examples/digits.py $(ARGS)

TEST_EXTRA ?= test
test: $(VENV)
	$(install) '.[$(TEST_EXTRA)]'
	$(python) -m pytest --quiet --doctest-modules micrograd_fast
	$(python) -m pytest $(ARGS)

# DEBUG= leaves the debug information out, as an install does.
DEBUG ?= 1
develop: $(VENV)
	MICROGRAD_FAST_WERROR=1 MICROGRAD_FAST_DEBUG=$(DEBUG) $(install) '.[dev]'

$(VENV):
	$(PYTHON) -m venv $(VENV)

test-c: build/test-c
	build/test-c

build/test-c: $(c_sources) $(c_headers)
	@mkdir -p build
	$(CC) $(c_flags) $(c_sources) -lm -o $@

sanitize: build/sanitize
	build/sanitize

build/sanitize: $(c_sources) $(c_headers)
	@mkdir -p build
	$(CC) $(c_flags) -fsanitize=address,undefined -fno-sanitize-recover=all $(c_sources) -lm -o $@

# The tests in Python, with a build of the extension that stops at the first wrong access to
# memory. It lies in a folder of its own, and is found first, by the processes that tests start,
# too; the sanitizer's library, and the C++ library that it wants to find, go before all others.
# Leaks are Python's own: what it keeps to the end. Without pytest's fault handler, so that the
# sanitizer's own report is seen.
sanitized := $(abspath build/sanitize-python)
SANITIZED_TESTS ?= tests
sanitize-python: $(VENV)
	$(install) '.[$(TEST_EXTRA)]'
	rm -rf $(sanitized)
	MICROGRAD_FAST_SANITIZE=1 $(python) setup.py --quiet build --build-lib $(sanitized)
	cd $(sanitized) && export PYTHONPATH=$(sanitized) PYTHONMALLOC=malloc UBSAN_OPTIONS=print_stacktrace=1 \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	    LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" && \
	$(python) -c 'import micrograd_fast._core as c; assert "sanitize" in c.build_info()["flags"]' && \
	$(python) -m pytest --config-file=$(abspath pyproject.toml) --rootdir=$(CURDIR) \
	    -p no:faulthandler -m "not memory and not slow" $(ARGS) $(addprefix $(CURDIR)/,$(SANITIZED_TESTS))

# PyTorch is left out: it is not built for every Python, and its answers do not depend on it.
test-all-pythons:
	@found=; \
	for version in 3.10 3.11 3.12 3.13; do \
	    python=$$(ls -d $$HOME/.pyenv/versions/$$version.*/bin/python 2>/dev/null | tail -n 1); \
	    [ -n "$$python" ] || python=$$(command -v python$$version) || continue; \
	    "$$python" -c '' 2>/dev/null || continue; \
	    found="$$found $$version"; \
	    echo "Python $$version: $$python"; \
	    PYTHONPATH=$(abspath tests/without_torch) $(MAKE) --no-print-directory test \
	        PYTHON="$$python" VENV=".venv-$$version" TEST_EXTRA=test-light || exit 1; \
	done; \
	[ -n "$$found" ] && echo "passed on$$found"

# Random lives of models until the time is up; the suite has a few of them.
fuzz-layers: $(VENV)
	$(install) '.[$(TEST_EXTRA)]'
	$(python) tests/fuzz_layers.py $(or $(ARGS),--seconds 600)

# BENCH_EXTRA=bench-frozen brings JAX and CasADi, too.
BENCH_EXTRA ?= bench
bench: $(VENV)
	$(install) '.[$(BENCH_EXTRA)]'
	$(python) -m bench $(ARGS)

lint: develop
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(abspath $(VENV))/bin/clang-format --dry-run --Werror $(c_sources) $(filter %.h %.inc,$(c_headers))

typecheck: develop
	$(python) -m mypy
	$(python) -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-missing-stub \
	    --allowlist tests/stubtest-allowlist.txt micrograd_fast._core

docs: develop
	$(python) docs/operations.py

wheel: $(VENV)
	$(pip) install build
	rm -rf build/lib* build/bdist* dist
	$(python) -m build

clean:
	rm -rf build dist *.egg-info .venv .venv-* moons-demo digits-demo micrograd_fast/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
