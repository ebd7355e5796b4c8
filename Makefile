# make demo    set up .venv from the lock file, run the main job on real data, say where the report is
# make test    all checks and the default tests (minutes); make slow runs the rest
PYTHON ?= python3
PIP = .venv/bin/pip --disable-pip-version-check

.PHONY: demo test slow lint lock clean

demo: .venv/.runtime
	.venv/bin/toolchain build spx_forecast --target alveo_u250

test: .venv/.dev lint
	.venv/bin/pytest -m "not slow" -n auto

slow: .venv/.dev
	.venv/bin/pytest -m slow -n auto

lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make demo PYTHON=python3.11")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	touch $@

# Needs uv (pip install uv). The lock files hold exact versions and hashes, no addresses.
LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet
lock:
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --extra dev --extra arm --extra ethos-u -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv hls_projects/*/build
