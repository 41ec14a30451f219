# Everything a developer types.  `make setup` runs by itself before whatever needs it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup demo test lint benchmark clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is not: run 'make setup PYTHON=/path/to/python3.12'." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cohort,dev]'
	@touch $@

# The main job on a phantom, or on a scan: make demo INPUT=scan.nii.gz SEGMENTATION=segmentation.nii.gz
ifdef INPUT
demo: setup
	$(BIN)/spine-analysis run $(INPUT) $(if $(SEGMENTATION),--segmentation $(SEGMENTATION)) -o demo/results --overwrite
else
demo: setup
	$(BIN)/python -m SpineAnalysisLib.phantoms stenotic_lumbar demo
	$(BIN)/spine-analysis run demo/image.nii.gz --segmentation demo/segmentation.nii.gz -o demo/results --overwrite
endif

lint: setup
	$(BIN)/ruff check
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --quiet --numprocesses auto

benchmark: setup
	$(BIN)/python Utilities/benchmark.py

clean:
	rm -rf $(VENV) build demo .mypy_cache .pytest_cache .ruff_cache .hypothesis SpineAnalysis/*.egg-info
