#!/usr/bin/env bash
# Starts a separate grid (own data folder and ports), runs the examples on it and stops it, also after a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/local/dockerd.sh ours || stop_docker=1
leave() {
  status=$?
  trap - EXIT
  nanogrid down || status=1
  [ -z "${stop_docker:-}" ] || deploy/local/dockerd.sh stop || status=1
  if [ "$status" = 0 ]; then
    rm -rf "$NANOGRID_DATA_DIR"
  else
    echo "demo: failed; the logs are in $NANOGRID_DATA_DIR/logs" >&2
  fi
  exit "$status"
}
nanogrid() { if [ -x .venv/bin/nanogrid ]; then .venv/bin/nanogrid "$@"; fi; }

export NANOGRID_DATA_DIR="$PWD/.nanogrid/demo"
unset NANOGRID_URL
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

deploy/local/setup.sh
if [ -z "${NANOGRID_GATEWAY_LISTEN:-}" ] && (: <>/dev/tcp/127.0.0.1/8080) 2>/dev/null; then
  echo 'demo: something serves on 8080 already, taking a free port'
  export NANOGRID_GATEWAY_LISTEN=127.0.0.1:0
fi
nanogrid up
.venv/bin/python examples/demo.py "$(nanogrid -o json up 2>/dev/null | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["api"])')"
