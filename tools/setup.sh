#!/usr/bin/env bash
# Creates the virtual environment exactly as locked. Needs nothing but Python >= 3.11; uv itself comes from the lock.
set -euo pipefail
venv=${1:-.venv}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Coscribe needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Try: make PYTHON=python3.12 $*" >&2
  exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing python3-venv ..." && apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv
  else
    echo "This Python has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
  fi
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
if [ ! -x "$venv/bin/uv" ]; then
  echo "Fetching uv ..."
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.5"
fi
if [ ! -f requirements.lock ]; then exit 0; fi
echo "Installing the locked packages ..."
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes -r requirements.lock
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --no-deps --editable .
# Started with PYTHONDONTWRITEBYTECODE, or by a user who may not write here, each process would compile all of it anew.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" src || echo "(Some packages could not be compiled to bytecode.)"
"$venv/bin/python" tools/compile.py
