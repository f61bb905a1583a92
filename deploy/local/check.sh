#!/usr/bin/env bash
# Everything a change must pass before its tests are worth running. All of it runs, whatever fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/.venv/bin:$PATH"

failed=

step() {
  echo "check: $*"
  "$@" || failed="$failed
check: FAILED $*"
}

step ruff format --check --quiet .
step ruff check --quiet .
step mypy
step lint-imports
step buf lint
step buf format --diff --exit-code
# Against what others build on; a checkout without that branch, or one that has no contract yet, has nothing to break.
for main in main origin/main; do
  if git cat-file -e "$main:protos/nanogrid/v1" 2>/dev/null; then
    step buf breaking --against ".git#ref=$(git rev-parse "$main")"
    break
  fi
done
step deploy/local/gen.sh --check
echo "${failed:-check: all is well}"
[ -z "$failed" ]
