# make demo   learn a filter from examples/ (core dependencies only)
# make test   the whole suite
# make check  lint, format, types, import ranks
# make bench  the figures of the README, side by side with peers

PYTHON ?= python3
VENV := .venv
TOOLS := .venv-test
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check bench clean

demo: $(VENV)/installed
	@echo "examples/README.md says where the pair comes from."
	$(VENV)/bin/kernelfield learn examples/before.png examples/after.png

test: $(TOOLS)/installed
	$(TOOLS)/bin/python -m pytest

check: $(TOOLS)/installed
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/ruff format --check .
	$(TOOLS)/bin/mypy
	$(TOOLS)/bin/python -m pytest --quiet tests/test_imports.py

bench: $(TOOLS)/installed
	$(TOOLS)/bin/python $(PIP) ".[bench]"
	$(TOOLS)/bin/python -m benchmarks.apply
	$(TOOLS)/bin/python -m benchmarks.learn
	$(TOOLS)/bin/python -m benchmarks.startup

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --editable .
	touch $@

$(TOOLS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python $(PIP) --editable ".[plot,test]"
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
