#!/usr/bin/env bash
# Installs what web/ needs, exactly as locked, and builds the app into the Python package (src/coscribe/web/built).
# Node and npm come from the virtual environment, so that they are the same everywhere.
#
#     tools/web.sh BIN            install what is missing, build
#     tools/web.sh BIN --install  only install
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$(cd "$1" && pwd):$PATH"
cd web
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing the locked packages of web/ ..."
  # Not `npm ci`: it insists on the packages of all other platforms, which not every registry mirror has. This installs
  # what the lock file says, checks it against the hashes in there, and leaves the file as it is.
  npm install --no-save --loglevel=error --no-audit --no-fund >/dev/null
  touch node_modules/.package-lock.json
fi
if [ "${2:-}" != "--install" ]; then
  echo "Building the web editor ..."
  npm run --silent build
fi
