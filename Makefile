# Everything the template needs, from a fresh clone and nothing but python3 (3.11 or newer, with venv),
# make and git. `make` alone lists what there is.

PYTHON     ?= python3
FRAMEWORK  ?= pytorch
JOBS       ?= 2

TEMPLATE   := {{cookiecutter.project_slug}}
FRAMEWORKS := $(patsubst $(TEMPLATE)/_parts/framework=%/,%,$(sort $(wildcard $(TEMPLATE)/_parts/framework=*/)))

# Other people's launchers, which a project can be started with and does not depend on.
LAUNCHERS  := torchx determined

# One environment for the tools, one for each framework, one for each launcher. A file `.ready` inside
# says that it was set up whole, from the requirements as they are now.
TOOLS      := .venv/bin
TRAINER     = .venv-$(FRAMEWORK)/bin/python
# Without compiling every file: a thousandth of a framework is imported, and compiled then. It is
# kept, also where the environment forbids that: to compile a framework at each start takes seconds.
export PYTHONDONTWRITEBYTECODE :=
# Not in the template's folder: cookiecutter would take a cache there for a file of the project.
export RUFF_CACHE_DIR := $(CURDIR)/.ruff_cache
PIP        := -m pip --disable-pip-version-check --quiet install --no-compile
DEMO       := build/demo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-nightly bench bench-others check format lock setup clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 21

demo: .venv-$(FRAMEWORK)/.ready ## generate a project, train it on its sample, show the result (FRAMEWORK=pytorch)
	rm -rf $(DEMO)
	$(TOOLS)/python tools/generate.py $(DEMO)/project framework=$(FRAMEWORK)
	cd $(DEMO)/project/* && "$(CURDIR)/$(TRAINER)" main.py train run.dir="$(CURDIR)/$(DEMO)/run"
	@$(TOOLS)/python tools/show_run.py $(DEMO)/run

# Which tests stay together, and their order: tests/conftest.py. The environments are made at the same
# time.
test: ## run every test, those that generate and train included
	@$(MAKE) --no-print-directory -j $(JOBS) setup
	$(TOOLS)/python -m pytest -n $(JOBS) --no-loadscope-reorder --durations 20

test-nightly: .venv/.ready ## the tests of drawn answers with five times as many examples
	$(TOOLS)/python -m pytest tests/test_any_answers.py --hypothesis-profile=nightly

bench: .venv/.ready .venv-$(FRAMEWORK)/.ready ## measure a generated project beside loops written by hand (FRAMEWORK=pytorch; some twenty minutes)
	$(TOOLS)/python benchmarks/run.py --framework $(FRAMEWORK)

bench-others: .venv/.ready .venv-pytorch/.ready .venv-others/.ready ## the same beside Lightning, Fabric, Accelerate and Ignite
	$(TOOLS)/python benchmarks/run.py others-step others-memory --others .venv-others/bin/python \
		--output build/benchmarks-others.json

check: .venv/.ready ## style, format and types of the template's own files, in seconds
	$(TOOLS)/ruff check .
	$(TOOLS)/ruff check --config tests/style.toml "$(TEMPLATE)"
	$(TOOLS)/ruff format --check .
	$(TOOLS)/mypy

format: .venv/.ready ## put the sources into the agreed format
	$(TOOLS)/ruff check --fix .
	$(TOOLS)/ruff check --fix --config tests/style.toml "$(TEMPLATE)"
	$(TOOLS)/ruff format .

lock: $(FRAMEWORKS:%=lock-%) ## lock what projects install after a change of requirements (UPGRADE=--upgrade: all to the newest)

setup: .venv/.ready $(FRAMEWORKS:%=.venv-%/.ready) $(LAUNCHERS:%=.venv-%/.ready) ## make the environments that the others use

clean: ## remove everything the other commands made
	rm -rf build .venv .venv-others $(FRAMEWORKS:%=.venv-%) $(LAUNCHERS:%=.venv-%)
	find . -name .git -prune -o -type d \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +

# Each lock names the command that makes it. What it holds already stays, unless it no longer fits.
lock-%: .venv/.ready
	rm -rf build/lock-$*
	$(TOOLS)/python tools/generate.py build/lock-$* framework=$*
	cd build/lock-$*/* && sed -n 's/^#    \(.*\)/\1 --quiet $(UPGRADE)/p' requirements*.lock | PATH="$(CURDIR)/$(TOOLS):$$PATH" sh -e
	cp build/lock-$*/*/requirements*.lock "$(TEMPLATE)/_parts/framework=$*/"

.venv/.ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear .venv
	$(TOOLS)/python $(PIP) -r requirements-dev.txt
	@touch $@

.venv-others/.ready: benchmarks/requirements-others.txt
	$(PYTHON) -m venv --clear .venv-others
	.venv-others/bin/python $(PIP) -r $<
	@touch $@

.venv-torchx/.ready: tests/requirements-torchx.txt
	$(PYTHON) -m venv --clear .venv-torchx
	.venv-torchx/bin/python $(PIP) -r $<
	@touch $@

.venv-determined/.ready: tests/requirements-determined.txt
	$(PYTHON) -m venv --clear .venv-determined
	.venv-determined/bin/python $(PIP) --no-deps -r $<
	@touch $@

# What a framework's environment holds is what the generated project asks for: its users' way is tested.
.venv-%/.ready: .venv/.ready $(TEMPLATE)/requirements.txt $(TEMPLATE)/requirements-dev.txt tests/requirements-projects.txt
	rm -rf build/requirements-$*
	$(TOOLS)/python tools/generate.py build/requirements-$* framework=$*
	$(PYTHON) -m venv --clear .venv-$*
	cd build/requirements-$*/* && "$(CURDIR)/.venv-$*/bin/python" $(PIP) -r requirements-dev.txt -r "$(CURDIR)/tests/requirements-projects.txt"
	@touch $@
