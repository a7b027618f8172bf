# make demo   learn a filter from examples/ (core dependencies only)
# make test   the whole suite: PyTorch, TensorFlow and JAX in one environment, MXNet in another
# make check  lint, format, types, import ranks
# make bench  the figures of the README, side by side with peers

PYTHON ?= python3
VENV := .venv
TOOLS := .venv-test
MXNET := .venv-mxnet
PIP := -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-mxnet test-avx2 check bench clean

demo: $(VENV)/installed
	@echo "examples/README.md says where the pair comes from."
	$(VENV)/bin/kernelfield learn examples/before.png examples/after.png

test: $(TOOLS)/installed test-mxnet test-avx2
	$(TOOLS)/bin/python -m pytest

# Halide's code for processors without AVX-512, whatever this one has.
test-avx2: $(TOOLS)/installed
	HL_JIT_TARGET=x86-64-linux-avx-avx2-f16c-fma-sse41 $(TOOLS)/bin/python -m pytest --quiet \
		tests/engine/test_direct.py tests/engine/test_methods.py tests/engine/test_channels.py \
		tests/engine/test_gradients.py tests/engine/test_lags.py tests/engine/test_interleaved.py

# MXNet 1.9.1 needs NumPy 1.23: the core is tested with it too.
test-mxnet: $(MXNET)/installed
	KERNELFIELD_FRAMEWORKS=mxnet $(MXNET)/bin/python -m pytest tests/test_correlation.py tests/test_geometry.py tests/test_recent.py \
		tests/engine tests/learning/test_statistics.py tests/learning/test_descent.py tests/conformance \
		tests/arrays/test_mxnet.py tests/layers/test_mxnet.py tests/receptive/test_mxnet.py tests/receptive/gradients/test_mxnet.py --ignore tests/conformance/test_onnx.py

check: $(TOOLS)/installed
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/ruff format --check .
	$(TOOLS)/bin/mypy
	$(TOOLS)/bin/python -m pytest --quiet tests/test_imports.py

bench: $(TOOLS)/installed
	$(TOOLS)/bin/kernelfield bench --save benchmarks/results/bench.json
	$(TOOLS)/bin/python -m benchmarks.peak
	$(TOOLS)/bin/python -m benchmarks.apply
	$(TOOLS)/bin/python -m benchmarks.methods
	$(TOOLS)/bin/python -m benchmarks.dropin
	$(TOOLS)/bin/python -m benchmarks.learn
	$(TOOLS)/bin/python -m benchmarks.startup
	$(TOOLS)/bin/python -m benchmarks.frameworks
	$(TOOLS)/bin/python -m benchmarks.layers
	$(TOOLS)/bin/python -m benchmarks.receptive

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --constraint constraints.txt --editable .
	touch $@

$(TOOLS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python $(PIP) --constraint constraints.txt --editable ".[plot,test,torch,tensorflow,jax]"
	touch $@

# Halide's metadata asks for a newer NumPy than it needs, so it and kernelfield come without their dependencies.
$(MXNET)/installed: pyproject.toml constraints-mxnet.txt
	$(PYTHON) -m venv $(MXNET)
	$(MXNET)/bin/python $(PIP) --constraint constraints-mxnet.txt mxnet numpy scipy pillow tifffile cyclopts rich \
		hatchling setuptools pytest hypothesis opencv-python-headless scikit-image scikit-learn
	$(MXNET)/bin/python $(PIP) --no-deps --constraint constraints-mxnet.txt halide
	$(MXNET)/bin/python $(PIP) --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) $(MXNET) .pytest_cache .mypy_cache .ruff_cache .hypothesis
