# Targets create the virtual environment themselves; nothing but Python >= 3.11 and make is needed beforehand.
# `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
# uv installs in a fraction of pip's time; where it cannot be had or reached, pip installs.
INSTALL = install() { { [ -x $(BIN)/uv ] && $(BIN)/uv --quiet pip install --python $(PY) --editable "$$1"; } || $(PIP) install --editable "$$1"; }; install

# make score
OUTPUT ?= submission.csv
DETAILS ?= details.csv
PHANTOMS ?= 24
PHANTOM_DIR := output/phantoms

# make app
APP_PORT ?= 8501

# make test
ARGS ?=

# make test-detectron2
DETECTRON2 ?=

# make torture
MINUTES ?= 10
SEED ?=

# make bench
HC18 ?=

# make model
FACES ?=
CROWDS ?=
EXTERNAL ?=
OTHERS ?=
SMOKE ?=
MODEL_DIR ?= output/model$(if $(SMOKE),_smoke)

# make smoke
SMOKE_CONFIG ?= configs/smoke/mask_rcnn_R_18_FPN_phantoms.yaml
SMOKE_DIR := output/smoke

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help score submission app test torture test-detectron2 lint smoke model bench experiments house-figures clean

help:
	@echo "make score   score phantoms of known HC with the shipped model (serving requirements only)"
	@echo "             IMAGES=DIR PIXEL_SIZES=CSV   score your own images instead"
	@echo "             OUTPUT=$(OUTPUT) DETAILS=$(DETAILS)   where the results go"
	@echo "make submission HC18=DIR   write and check the file to upload to the HC18 challenge (OUTPUT=$(OUTPUT))"
	@echo "make app     start the reviewer app on http://127.0.0.1:$(APP_PORT) (serving and app requirements only)"
	@echo "make test    run the tests on all cores (ARGS='-k ellipse' selects some, ARGS='-m \"not slow\"' the quick ones)"
	@echo "make test-detectron2 DETECTRON2=DIR   build Detectron2 from the checkout DIR and run the tests that compare with it"
	@echo "make torture read damaged files of every kind for MINUTES=$(MINUTES) and print what held (SEED=N repeats a run)"
	@echo "make lint    ruff and mypy"
	@echo "make smoke   train a tiny model on phantoms and check its metric (about two minutes on two cores)"
	@echo "make model   HC18=DIR   make the shipped model again (about a day; goes on where it stopped)"
	@echo "             FACES=DIR CROWDS=DIR   with photographs that show no head; MODEL_DIR=$(MODEL_DIR)   where it works"
	@echo "             EXTERNAL=DIR OTHERS='DIR ...'   with image checks from heads of another hospital and other ultrasound"
	@echo "             SMOKE=1   the same chain in minutes, with tiny networks on phantoms, instead of HC18=DIR"
	@echo "make bench   print the figures of speed and memory (HC18=DIR adds those that need real data)"
	@echo "make experiments    print figures of accuracy that were measured for research (HC18=DIR adds more)"
	@echo "make house-figures  count what keeps the sources easy to take over, against its bounds"
	@echo "make clean   remove the environments, caches and generated output"
	@echo "Options: PYTHON=$(PYTHON) (interpreter for the environment), VENV=$(VENV)"

# --- environment: one stamp per set of requirements, so a second call installs nothing ---

$(VENV)/created.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "error: '$(PYTHON)' not found; install Python >= 3.11 or call make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "error: $(PYTHON) is Python %d.%d; Python >= 3.11 is needed, call make PYTHON=python3.11" % v[:2])'
	@$(PYTHON) -m venv $(VENV) || { echo "error: '$(PYTHON) -m venv' failed; on Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	@$(PIP) install uv >/dev/null 2>&1 || echo "uv is not available; pip installs, which takes longer"
	@touch $@

$(VENV)/serving.stamp: requirements.txt pyproject.toml $(VENV)/created.stamp
	@echo "installing the serving requirements into $(VENV)"
	@$(INSTALL) .
	@touch $@

$(VENV)/app.stamp: $(VENV)/serving.stamp
	@echo "installing the requirements of the reviewer app into $(VENV)"
	@$(INSTALL) '.[app]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/serving.stamp
	@echo "installing the training and development requirements into $(VENV) (torch: a few minutes)"
	@$(INSTALL) '.[dev]'
	@touch $@

# --- what people run ---

ifdef IMAGES
score: $(VENV)/serving.stamp
	@test -n "$(PIXEL_SIZES)" || { echo "error: IMAGES needs PIXEL_SIZES=CSV (columns filename and pixel size(mm)): without a pixel size there are no millimetres" >&2; exit 2; }
	$(PY) tools/score.py --images "$(IMAGES)" --pixel-sizes "$(PIXEL_SIZES)" --output "$(OUTPUT)" --details "$(DETAILS)" --overwrite
else
score: $(VENV)/serving.stamp
	$(PY) tools/make_phantoms.py --output $(PHANTOM_DIR) --count $(PHANTOMS) --overwrite
	$(PY) tools/score.py --images $(PHANTOM_DIR)/training_set --pixel-sizes $(PHANTOM_DIR)/training_set_pixel_size_and_HC.csv --output "$(OUTPUT)" --details "$(DETAILS)" --overwrite
	$(PY) tools/evaluate_hc18.py --submission "$(OUTPUT)" --root $(PHANTOM_DIR)
endif

submission: $(VENV)/serving.stamp
	@test -n "$(HC18)" || { echo "error: name the folder of HC18: make submission HC18=DIR" >&2; exit 2; }
	$(PY) tools/score.py --images "$(HC18)/test_set" --pixel-sizes "$(HC18)/test_set_pixel_size.csv" --output "$(OUTPUT)" --details "$(DETAILS)" --overwrite
	$(PY) tools/check_hc18.py --submission "$(OUTPUT)" --table "$(HC18)/test_set_pixel_size.csv"

app: $(VENV)/app.stamp
	$(BIN)/fetal-hc app --port $(APP_PORT)

test: $(VENV)/dev.stamp
	$(PY) -m pytest -n auto --dist worksteal $(ARGS)

test-detectron2: $(VENV)/dev.stamp
	@test -n "$(DETECTRON2)" || { echo "error: name a checkout of Detectron2: make test-detectron2 DETECTRON2=DIR" >&2; exit 2; }
	tests/with_detectron2.sh "$(DETECTRON2)" $(abspath $(PY)) $(ARGS)

torture: $(VENV)/dev.stamp
	$(PY) -m tests.faults.torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: $(VENV)/dev.stamp
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

smoke: $(VENV)/dev.stamp
	$(PY) tools/make_phantoms.py --output $(SMOKE_DIR)/phantoms --count 120 --size small --overwrite
	$(PY) tools/convert_hc18.py --root $(SMOKE_DIR)/phantoms --output $(SMOKE_DIR)/datasets
	$(PY) tools/train_net.py --config-file $(SMOKE_CONFIG) --overwrite DATASETS.ROOT $(SMOKE_DIR)/datasets OUTPUT_DIR $(SMOKE_DIR)/training

model: $(VENV)/dev.stamp
	@test -n "$(HC18)$(SMOKE)" || { echo "error: make model needs HC18=DIR, the HC18 folder as published, or SMOKE=1" >&2; exit 2; }
	$(PY) tools/make_model.py $(if $(SMOKE),--smoke,--hc18 "$(HC18)") --work "$(MODEL_DIR)" $(if $(FACES),--faces "$(FACES)") $(if $(CROWDS),--crowds "$(CROWDS)") $(if $(EXTERNAL),--external "$(EXTERNAL)" --others $(OTHERS))

# Every program runs, also after one has missed its bound. Benchmarks measure speed and memory, experiments what was asked
# once for research.
RUN_ALL = status=0; run() { echo "== $$*"; "$$@" || status=1; }

bench: $(VENV)/dev.stamp
	@$(RUN_ALL); \
	for name in score_speed network_speed scaling table_speed app_speed review_queue; do \
	    run $(PY) -m benchmarks.$$name $$([ $$name != scaling ] || echo --ray); done; \
	if [ -n "$(HC18)" ]; then run $(PY) -m benchmarks.convert_speed --root "$(HC18)"; \
	else echo "convert_speed needs real data: make bench HC18=DIR"; fi; \
	exit $$status

experiments: $(VENV)/dev.stamp
	@$(RUN_ALL); \
	run $(PY) -m experiments.refusals; \
	if [ -n "$(HC18)" ]; then for name in label_floor soft_mask_fits; do run $(PY) -m experiments.$$name --root "$(HC18)"; done; \
	else echo "label_floor and soft_mask_fits need real data: make experiments HC18=DIR"; fi; \
	exit $$status

# What the sources look like, against the bounds that the project keeps. CI_SECONDS=N: what a cold .ci/run took.
house-figures: $(VENV)/serving.stamp
	$(PY) -m experiments.house_figures $(if $(CI_SECONDS),--ci-seconds $(CI_SECONDS))

clean:
	rm -rf $(VENV) .venv-detectron2 output build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
