# make demo    a study on the sample posts: criteria with their evidence, and where its report is
# make test    lint and the fast tests: minutes
# make test-slow    the long tables of cases, and four times the examples of every property
# make test-service    what needs a file system of its own; says so where none may be mounted
# make test-lowest    a few tests with the lowest versions that pyproject.toml admits
# make fuzz    damaged files for every reader; minutes. Another SEED=7 takes others
# make lint    the same without the tests
# make docs    docs/configuration.md and examples/space.yaml from the schema
# make house   the size of the house
# make clean   remove caches and builds

PYTHON ?= python3
UV ?= $(shell command -v uv)
VENV := .venv
BIN := $(VENV)/bin
SEED := 0

# uv, where it is there, chooses the same versions in a second; it reads no settings of pip but these. `UV=`: pip.
install = $(if $(UV),$(uv_index) $(UV) pip install -q --python $(1),$(1) -m pip install -q)
uv_index = $(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX='$(PIP_INDEX_URL)') $(if $(PIP_FIND_LINKS),UV_FIND_LINKS='$(PIP_FIND_LINKS)')

export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-slow test-service test-lowest fuzz lint docs house clean

demo: $(VENV)/.demo
	$(BIN)/tunery search examples/posts/demo.yaml --out runs/demo
	@echo "The report: runs/demo/report.html"

test: export HF_HUB_OFFLINE := 1
test: export OMP_NUM_THREADS := 1
test: lint
	$(BIN)/pytest -n 2

# tests/fuzz has a target of its own.
test-slow: export HF_HUB_OFFLINE := 1
test-slow: export OMP_NUM_THREADS := 1
test-slow: $(VENV)/.dev
	$(BIN)/pytest -n 2 --ignore=tests/fuzz --hypothesis-profile=ci -m '(slow or hypothesis) and not (gpu or network or service)'

# A user who may not mount may do so in a namespace of his own, where the system allows one.
test-service: export HF_HUB_OFFLINE := 1
test-service: export OMP_NUM_THREADS := 1
test-service: $(VENV)/.dev
	$$(unshare -Urm true 2>/dev/null && echo unshare -Urm) $(BIN)/pytest -m service -rs

# Old versions warn of what new ones removed: here a warning is no error.
test-lowest: export HF_HUB_OFFLINE := 1
test-lowest: export OMP_NUM_THREADS := 1
test-lowest: $(VENV)-lowest/.made
	$(VENV)-lowest/bin/python -m pytest -m smoke -W default $$(grep -rl mark.smoke tests)

$(VENV)-lowest/.made: pyproject.toml scripts/lowest.py
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) scripts/lowest.py > $(VENV)-lowest/constraints.txt
	$(call install,$(VENV)-lowest/bin/python) -c $(VENV)-lowest/constraints.txt -e . pytest hypothesis
	touch $@

fuzz: export HF_HUB_OFFLINE := 1
fuzz: export OMP_NUM_THREADS := 1
fuzz: $(VENV)/.dev
	$(BIN)/pytest -n 2 tests/fuzz --hypothesis-profile=fuzz --hypothesis-seed=$(SEED) -m 'not (gpu or network)'

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/tunery schema --markdown > docs/configuration.md
	$(BIN)/tunery schema space > examples/space.yaml

house:
	@$(PYTHON) scripts/house.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

# One stamp per extra: what is installed is not installed again until the pins change.
$(VENV)/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,$(BIN)/python) -c constraints.txt -e '.[$*]'
	touch $@
