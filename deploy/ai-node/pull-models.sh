#!/usr/bin/env bash
# Fetches models into the folder the AI node serves from: `pull-models.sh [MODEL…]`, llama3:8b without names. As root.
#
# Needs the internet, which the AI node does not have: run it while the machine image is made, or on another machine
# and copy the folder. It fetches with a server of its own on loopback, because the real one may not write.
#
#   OLLAMA_MODELS  where to, if not /var/lib/nanogrid-models
set -euo pipefail

export OLLAMA_MODELS=${OLLAMA_MODELS:-/var/lib/nanogrid-models}
export OLLAMA_HOST=127.0.0.1:11435 # beside a server that already runs
start_timeout_s=30
[ $# -gt 0 ] || set -- llama3:8b

say() { echo "pull-models.sh: $*" >&2; }

[ "$(id -u)" = 0 ] || { say 'the models are to be owned by root: run this with sudo'; exit 1; }
command -v ollama >/dev/null || { say 'ollama is not installed: see README.md beside this script'; exit 1; }

home=$(mktemp -d)
server=
leave() {
  status=$?
  trap - EXIT
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true # its status says only that it was told to stop
  fi
  rm -rf "$home"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$OLLAMA_MODELS"
HOME=$home ollama serve >"$home/log" 2>&1 &
server=$!
until HOME=$home ollama list >/dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || { tail "$home/log" >&2; say 'ollama did not start'; exit 1; }
  [ "$SECONDS" -lt "$start_timeout_s" ] || { say "ollama did not start within $start_timeout_s s"; exit 1; }
  sleep 0.2
done

for model in "$@"; do
  say "fetching $model"
  HOME=$home ollama pull "$model"
done
chown -R root:root "$OLLAMA_MODELS"
chmod -R u=rwX,go=rX "$OLLAMA_MODELS" # read by the service, written by nobody but root
HOME=$home ollama list
