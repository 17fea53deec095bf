#!/usr/bin/env bash
# The quick gate: static checks and the tests of web/, then (unless --static-only) the tests that are not marked slow.
set -euo pipefail
bin=$1
"$bin/ruff" check --quiet .
"$bin/ruff" format --quiet --check .
"$bin/mypy" --no-error-summary
"$bin/lint-imports" --no-cache >/dev/null || { "$bin/lint-imports" --no-cache; exit 1; }
"$bin/python" tools/generate.py --check
export PATH="$(cd "$bin" && pwd):$PATH"
node web/tools/generate.mjs --check
npm --prefix web run --silent lint
npm --prefix web run --silent types
npm --prefix web run --silent test
if [ "${2:-}" != "--static-only" ]; then
  "$bin/python" -m pytest -q -n 2 --dist worksteal -m "not slow and not soak"
fi
