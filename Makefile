# Needs make and Python 3.11 or later, nothing else; everything it makes lies in .venv and build.
# make PYTHON=/path/to/python3.12 ...   chooses the Python
# make serve ARGS="--speed 60"          hands options to what runs

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
JOBS ?= auto

# Set-up holds for this folder; a checkout that was moved, or whose Python went away, gets a new one.
ifneq ($(shell $(BIN)/python -c "print(open('$(VENV)/ready').read(), end='')" 2>/dev/null),$(CURDIR))
$(shell rm -f $(VENV)/ready)
endif

.PHONY: help serve test lint format bench soak lock clean

help:  ## Show these lines
	@echo "make serve    the mock server on port 8700; ARGS=\"--speed 60\" hands it options"
	@echo "make test     everything that must hold: ruff, mypy, pytest; ARGS goes to pytest"
	@echo "make lint     ruff and mypy alone"
	@echo "make format   let ruff write the code the way it wants it"
	@echo "make bench    measure, print tables and the curve of a million tasks; ARGS=--quick for a look"
	@echo "make soak     the random and the crash tests, for most of an hour"
	@echo "make lock     renew requirements*.lock; ARGS=--upgrade for the newest of everything"
	@echo "make clean    remove what these made"
	@echo
	@echo "Set-up happens by itself, in .venv. Needs Python 3.11 or later: PYTHON=/path/to/python chooses one."

serve: $(VENV)/ready
	@exec $(BIN)/understudy serve $(ARGS)

test: lint
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready
	@exec $(BIN)/python -m bench $(ARGS)

soak: $(VENV)/ready
	UNDERSTUDY_SOAK=1 HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

# One resolution for every Python from 3.11 on and every system; the image takes the first, everybody here the second.
lock:
	@$(find_python); "$$python" -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --no-input install -q 'uv>=0.9'
	@for lock in "requirements.lock" "requirements-dev.lock --group dev -c requirements.lock"; do \
	  echo "$$lock" | sed 's/ .*//'; \
	  build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command 'make lock' $(ARGS) \
	    --extra media --extra lint pyproject.toml -o $$lock || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets the shell's $python to the first that will do, or says what is missing.
define find_python
python=; almost=; \
for one in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3 python); do \
  "$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
  if "$$one" -c 'import ensurepip, venv' >/dev/null 2>&1; then python="$$one"; break; fi; \
  almost="$${almost:-$$one}"; \
done; \
if [ -z "$$python" ] && [ -n "$$almost" ]; then \
  echo "$$almost has no venv or no ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; \
elif [ -z "$$python" ]; then \
  echo "$(or $(PYTHON),python3) is not Python 3.11 or later, or is not there. Choose one: make PYTHON=/path/to/python3.12"; exit 1; \
fi
endef

$(VENV)/ready: pyproject.toml requirements-dev.lock
	@$(find_python); \
	echo "Setting up $(VENV) with $$("$$python" --version), once; this takes a minute."; \
	"$$python" -m venv --clear $(VENV)
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s\n' "$(CURDIR)" > $@
