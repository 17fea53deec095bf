#!/usr/bin/env bash
# The quick gate: static checks, then the quick tests. With --static-only, which `make test` calls first: static checks
# and all tests of web/.
set -euo pipefail
bin=$1
export PATH="$(cd "$bin" && pwd):$PATH"

python_side() {
  ruff check --quiet . &&
    ruff format --quiet --check . &&
    mypy --no-error-summary &&
    { lint-imports --no-cache >/dev/null || { lint-imports --no-cache; false; }; } &&
    python tools/generate.py --check
}

web_side() {
  node web/tools/generate.mjs --check &&
    npm --prefix web run --silent lint &&
    npm --prefix web run --silent types &&
    npm --prefix web run --silent "$1"
}

quick_tests() {
  HYPOTHESIS_PROFILE=brief python -m pytest -q -n 2 --dist worksteal -m "not slow and not soak"
}

if [ "${2:-}" = "--static-only" ]; then
  web_tests=test
  tests=true
else
  web_tests=test:quick
  tests=quick_tests
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
web_side "$web_tests" >"$said" 2>&1 & # for most of its time it takes one processor
web=$!
failed=0
python_side && $tests || failed=1
wait "$web" || failed=1
cat "$said"
[ "$failed" = 0 ]
