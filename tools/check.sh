#!/usr/bin/env bash
# The quick gate: static checks, then the quick tests. With --static-only, which `make test` calls first: static checks
# and all tests of web/.
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
if [ "${2:-}" = "--static-only" ]; then
  npm --prefix web run --silent test
else
  npm --prefix web run --silent test:quick
  "$bin/python" -m pytest -q -n 2 --dist worksteal -m "not slow and not soak"
fi
