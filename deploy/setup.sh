#!/bin/sh
# Builds the virtual environment from pinned packages. Every message names the fault and the remedy.
set -eu

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v "$PYTHON" >/dev/null 2>&1 ||
    fail "'$PYTHON' was not found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3 $*"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed. Name another: make PYTHON=python3.12"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "this Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"

if ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
    echo "setup: making the virtual environment $VENV" >&2
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
fi
# Progress bars are for people; a log wants lines.
quiet=--quiet
[ -t 2 ] && quiet=
echo "setup: installing the pinned packages (about 250 MB the first time)" >&2
"$VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt ||
    fail "the installer could not be installed: is a Python package index reachable? (pip config list)"
"$VENV/bin/uv" pip sync $quiet --compile-bytecode --python "$VENV/bin/python" --require-hashes --strict "$LOCK" requirements/bootstrap.txt ||
    fail "the pinned packages could not be installed: is a Python package index reachable? (pip config list)"
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation --editable . ||
    fail "the project itself could not be installed; the lines above say why"
