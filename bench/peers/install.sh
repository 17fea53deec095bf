#!/usr/bin/env bash
# Installs the peers, exactly as locked: the JavaScript ones into bench/peers/node_modules with the Node of the virtual
# environment, the Python one into an environment of its own, so that ours holds nothing that we do not need.
#
#     bench/peers/install.sh BIN      BIN: the programs of the project's virtual environment
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(cd "$1" && pwd)
python=build/peers/bin/python
if [ ! -f build/peers/.ready ] || [ bench/peers/requirements.lock -nt build/peers/.ready ]; then
  echo "Installing the locked Python peer ..."
  [ -x "$python" ] || "$bin/python" -m venv --without-pip build/peers
  "$bin/uv" pip install --quiet --python "$python" --require-hashes -r bench/peers/requirements.lock
  touch build/peers/.ready
fi
cd bench/peers
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing the locked packages of bench/peers ..."
  # Not `npm ci`, for the reason in tools/web.sh: not every registry mirror has the packages of all other platforms.
  PATH="$bin:$PATH" npm install --no-save --loglevel=error --no-audit --no-fund >/dev/null
  touch node_modules/.package-lock.json
fi
