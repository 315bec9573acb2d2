# `make` alone lists the commands. They need Python >= 3.11, git and make; everything else is installed into .venv.
# ISIC_DATA, ISIC_PROFILE and ISIC_RUNS are passed on to the notebooks.

# python3 has .venv. Any other Python has an environment named after its version, such as .venv-3.12; one that does not
# start has none, and the first rule says so.
PYTHON ?= python3
VERSION := import sys; print("-%d.%d" % sys.version_info[:2])
VENV := .venv$(if $(filter-out python3,$(PYTHON)),$(shell "$(PYTHON)" -c '$(VERSION)' 2> /dev/null || echo -none))
IN_VENV := $(VENV)/bin/python

# TESTED=1 installs versions that have passed the tests. Later commands find them there without it.
INSTALLED := $(VENV)/$(if $(TESTED),.tested,.installed)
CONSTRAINT := $(if $(TESTED),--constraint requirements-tested.txt)

# Tests and committed outputs always come from the synthetic sample, whatever the shell has set, and from runs
# trained by the present code: each starts with an empty folder of runs, which its notebooks then share.
ON_SAMPLE := env -u ISIC_DATA -u ISIC_PROFILE

# Committed outputs are computed as a processor without AVX-512 and without 16-bit arithmetic does it, so they
# depend less on the machine (a trained network's scores still do, by some hundredths).
ORDINARY := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 ACCELERATE_MIXED_PRECISION=no

# Unit tests and most lessons take one thread, so two files at a time. Lessons from 06 on look for the runs of those
# before, so they wait until these are done.
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile
NBVAL := $(ON_SAMPLE) ISIC_RUNS=build/test-runs $(IN_VENV) -m pytest $(TWO_AT_A_TIME) --nbval-lax --nbval-current-env \
  --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout 600 --nbval-kernel-startup-timeout 180

# The kernel is this environment's, even where the user has another one called python3.
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help which notebooks thesis doctor test check tested gpu-check browser lab app tensorboard execute times \
  measured handout sheets book slides clean

help:
	@echo "make notebooks    set up .venv, draw the synthetic sample, execute every notebook; results in build/"
	@echo "make thesis       train everything of the thesis (ISIC_PROFILE=full unless set) and report: runs/…/thesis.html"
	@echo "make doctor       look at this installation, and say in plain words what does not work"
	@echo "make test         unit tests, every notebook through nbval, ruff: what CI runs"
	@echo "make check        the quick part of it, some minutes: no notebooks, nothing marked slow"
	@echo "make tested       the newest versions, make test, and if it passes, their list into requirements-tested.txt"
	@echo "make gpu-check    on a graphics card, at most eight minutes: speed and memory of every network, and its tests"
	@echo "make browser      open the book, slides, app and JupyterLab in a browser (Chromium), and look at what they show"
	@echo "make lab          open the notebooks in JupyterLab"
	@echo "make app          a page that gives a second opinion on an image dropped onto it; nothing leaves this machine"
	@echo "make tensorboard  watch the runs in TensorBoard"
	@echo "make execute      re-execute the notebooks in place on the sample, for committing their outputs"
	@echo "make times        measure each lesson twice (AVX2 in 32 bits, and this processor): README and lessons state it"
	@echo "make measured     measure on the real images of ISIC_DATA what lessons show of them; an hour a lesson, resumable"
	@echo "make handout      write the notebooks for a class, without solutions and results, and with both; in build/"
	@echo "make sheets       sheets to print: two tables to audit, the dial's empty axes, the formulas; in build/sheets"
	@echo "make book         the notebooks and documents as pages for a browser, in build/book"
	@echo "make slides       slides for a projector of lessons 04, 05, 06 and 08, with notes for the speaker; in build/slides"
	@echo "make clean        remove build/ and the caches of the tools; data, runs and environments stay"
	@echo "make help         this list"
	@echo
	@echo "Data, size and place of runs: ISIC_DATA=<folder>  ISIC_PROFILE=laptop|lab|full  ISIC_RUNS=<folder>"
	@echo "Another Python: make test PYTHON=python3.12, in an environment of its own, .venv-3.12"
	@echo "Versions of the packages that passed the tests, instead of the newest: make notebooks TESTED=1"

# Into the environment: with uv, or slower with pip, where uv cannot be had.
install = $(IN_VENV) -m uv pip install --compile-bytecode $(1) || $(IN_VENV) -m pip install $(1)

# The stamp is written last: an interrupted installation does not count, and the next one starts from nothing.
$(INSTALLED): pyproject.toml $(if $(TESTED),requirements-tested.txt)
	@"$(PYTHON)" -c '' 2> /dev/null || \
	  { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name yours with PYTHON=<path>." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: name a newer one with PYTHON=<path>." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "$(PYTHON) lacks the venv module: install it (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV): a few minutes, several gigabytes, only this once."
	@test -e $(VENV)/.installed || "$(PYTHON)" -m venv --clear $(VENV)
	@rm -f $(VENV)/.installed $(VENV)/.tested
	@$(IN_VENV) -m pip install --quiet uv && $(call install,$(CONSTRAINT) --editable '.[test]')
	@$(IN_VENV) -c 'import matplotlib.font_manager'  # builds the font cache now, not with a warning in a lesson
	@touch $(VENV)/.installed $@

# What a log begins with.
which: $(INSTALLED)
	@$(IN_VENV) -c 'import platform, torch; print("Python", platform.python_version(), "and PyTorch", torch.__version__)'

notebooks: which
	@test -n "$$ISIC_DATA" || $(IN_VENV) -m isic_course.synthetic
	@$(IN_VENV) tools/execute_notebooks.py

# Days on a graphics card in `full`. It may be stopped at any moment, and the same command goes on from there.
thesis: $(INSTALLED)
	@ISIC_PROFILE="$${ISIC_PROFILE:-full}" $(IN_VENV) -m isic_course thesis

doctor: $(INSTALLED)
	@$(IN_VENV) -m isic_course doctor

test: which
	@rm -rf build/test-runs
	@$(ON_SAMPLE) $(IN_VENV) -m isic_course.synthetic
	@status=0; \
	$(ON_SAMPLE) $(IN_VENV) -m pytest $(TWO_AT_A_TIME) --durations=15 tests || status=1; \
	$(NBVAL) notebooks/0[1-5]* || status=1; \
	$(NBVAL) notebooks/0[6-9]* notebooks/1* || status=1; \
	$(IN_VENV) -m ruff check . || status=1; \
	exit $$status

check: which
	@$(ON_SAMPLE) $(IN_VENV) -m isic_course.synthetic
	@$(ON_SAMPLE) $(IN_VENV) -m pytest $(TWO_AT_A_TIME) -m "not slow" tests
	@$(IN_VENV) -m ruff check .

# What stands behind a version's "+" names a build, such as that for processors, and is left out.
tested: $(INSTALLED)
	@$(call install,--upgrade --editable '.[test]')
	@$(MAKE) test
	@versions=$$($(IN_VENV) -m pip list --format freeze --exclude-editable --exclude pip --exclude uv) && \
	on=$$($(IN_VENV) -c 'import platform; print(platform.python_version(), "on", platform.system())') && \
	printf '# What `make test` passed with, under Python %s. `make tested` writes this, TESTED=1 installs it.\n%s\n' \
	  "$$on" "$$versions" | sed 's/+.*//' > requirements-tested.txt

# On a processor: at the smallest sizes, and without the tests that need a card.
gpu-check: which
	@status=0; \
	$(ON_SAMPLE) $(IN_VENV) benchmarks/gpu_check.py || status=1; \
	$(ON_SAMPLE) $(IN_VENV) -m pytest -m gpu tests/isic_utils/training/test_gpu.py || status=1; \
	exit $$status

browser: $(INSTALLED)
	@$(ON_SAMPLE) $(IN_VENV) -m isic_course.synthetic
	@$(ON_SAMPLE) ISIC_BROWSER=1 $(IN_VENV) -m pytest tests/notebooks/test_book.py tests/notebooks/test_pages.py \
	  tests/notebooks/test_app.py tests/notebooks/test_slides.py tests/notebooks/test_sheets.py tests/notebooks/test_lab.py

lab: $(INSTALLED)
	$(IN_VENV) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

app: $(INSTALLED)
	@$(IN_VENV) tools/app.py

tensorboard: $(INSTALLED)
	$(IN_VENV) -m tensorboard.main --logdir "$${ISIC_RUNS:-runs}"

execute: $(INSTALLED)
	@rm -rf build/execute-runs
	@$(ON_SAMPLE) $(IN_VENV) -m isic_course.synthetic
	@$(ON_SAMPLE) $(ORDINARY) ISIC_RUNS=build/execute-runs $(IN_VENV) tools/execute_notebooks.py --in-place

times: $(INSTALLED)
	@$(ON_SAMPLE) $(ORDINARY) $(IN_VENV) benchmarks/lessons.py
	@$(ON_SAMPLE) $(IN_VENV) benchmarks/lessons.py
	@$(IN_VENV) benchmarks/lessons.py --write

# An hour of two cores for a lesson, at most; it may be stopped at any moment, and the same command goes on.
measured: $(INSTALLED)
	@$(IN_VENV) benchmarks/measured_tables.py
	@$(IN_VENV) benchmarks/measured.py
	@$(IN_VENV) benchmarks/measured_masks.py
	@$(IN_VENV) benchmarks/measured_decisions.py
	@$(IN_VENV) benchmarks/measured_clinics.py
	@$(IN_VENV) benchmarks/measured_subgroups.py
	@$(IN_VENV) benchmarks/measured_ensemble.py
	@$(IN_VENV) benchmarks/measured_captions.py

handout: $(INSTALLED)
	@$(IN_VENV) tools/handout.py

# An extra of pyproject.toml, once. What is there already, such as PyTorch, stays as it is.
$(VENV)/.book $(VENV)/.slides: $(VENV)/.%: $(INSTALLED)
	@$(call install,$(CONSTRAINT) --editable '.[$*]')
	@touch $@

# The formulas become MathML with a package of the book.
sheets: $(VENV)/.book
	@$(IN_VENV) tools/sheets.py

book: $(VENV)/.book
	@$(IN_VENV) tools/book.py

slides: $(VENV)/.slides
	@$(IN_VENV) tools/slides.py

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis
