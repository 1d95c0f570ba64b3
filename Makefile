# Two commands do all set-up: `make demo` and `make test`. Both create .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py

test: $(VENV)/test.stamp lint
	$(BIN)/python scripts/check_environment.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-all: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -m ""

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(BIN)/python benchmarks/run_all.py

$(VENV)/demo.stamp: scripts/set_up.py pyproject.toml constraints.txt
	$(PYTHON) scripts/set_up.py $(VENV) onnx
	touch $@

$(VENV)/test.stamp: scripts/set_up.py pyproject.toml constraints.txt
	$(PYTHON) scripts/set_up.py $(VENV) all,dev
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
