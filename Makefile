# make demo, make test: each makes .venv, installs, and runs. Another Python: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin
MARKS ?= slow or sampled
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test slow lint docs format gpu gpu-half adbd clean

demo: .venv/installed
	$(BIN)/python -m keras_mobattn.demo

test: lint
	-@$(BIN)/python -m keras_mobattn.gpu  # without it the GPU's tests are skipped, and say so
	-@$(BIN)/python -m keras_mobattn.gpu --half  # likewise the tests of real float16
	-@$(BIN)/python tests/helpers/install_peers.py  # likewise the tests against timm and transformers
	$(BIN)/python -m pytest -n 2 --dist worksteal -o faulthandler_timeout=600

# TESTS=tests/FOLDER for a part of it, MARKS=sampled for those of which CI takes an eighth. Stopped and started again with
# GO_ON=FILE, it goes on behind what has passed by that file
slow: .venv/installed
	-@$(BIN)/python -m keras_mobattn.gpu
	-@$(BIN)/python -m keras_mobattn.gpu --half
	-@$(BIN)/python tests/helpers/install_peers.py
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "$(MARKS)" --costs $(if $(GO_ON),--go-on=$(GO_ON)) $(TESTS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of README's pages and the functions' own descriptions; what Sphinx warns of is an error, a broken link say
docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

# A driver for LiteRT's GPU accelerator: the machine's own, or SwiftShader, which uses the CPU, put into .venv
gpu: .venv/installed
	@$(BIN)/python -m keras_mobattn.gpu

# One that computes float16 as such: a GPU's own, or Mesa's llvmpipe, 25.0 or newer, which uses the CPU, put into .venv
gpu-half: .venv/installed
	@$(BIN)/python -m keras_mobattn.gpu --half

# The daemon that stands in for a phone in the tests, put into the user's cache; the tests get it themselves
adbd: .venv/installed
	@$(BIN)/python tests/helpers/adbd.py

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit("Expected Python 3.11 to 3.13. Received: %d.%d. Try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -e ".[test]" -c constraints.txt
	touch $@

clean:
	rm -rf .venv build docs/_build *.egg-info .pytest_cache .ruff_cache
