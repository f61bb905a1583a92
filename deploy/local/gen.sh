#!/usr/bin/env bash
# Regenerates gen/ from protos/. `gen.sh --check` regenerates into a temporary folder and fails on any difference.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${VENV:-.venv}/bin
out=gen
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc -I protos \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" \
  protos/nanogrid/v1/*.proto
if [ "$out" != gen ]; then
  diff -r -x __pycache__ gen "$out" || { echo 'gen/ is not what protos/ says: run make gen' >&2; exit 1; }
fi
