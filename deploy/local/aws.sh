#!/usr/bin/env bash
# aws.sh run COMMAND…|stop: AWS on this machine, for a grid of this checkout.
# `run` starts a server that speaks S3, DynamoDB and SQS, makes what the grid needs there, and runs the command with the
# environment that chooses it. The server keeps everything in memory until `stop`; it is for trying out and for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$PWD/.venv/bin/python
data=${NANOGRID_DATA_DIR:-.nanogrid}
pid_file=$data/aws.pid
log=$data/logs/aws.log
wait_s=30

say() { echo "aws: $*" >&2; }

# Ticks since boot when the process started: with it a pid means one process only. Empty once it has ended.
start_time() { awk '{ sub(/.*\) /, ""); if ($1 != "Z") print $20 }' "/proc/$1/stat" 2>/dev/null || true; }

ours() {
  read -r pid started port 2>/dev/null <"$pid_file" && [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

answers() { "$python" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$1/moto-api/data.json')" 2>/dev/null; }

start() {
  ours && return 0
  mkdir -p "$(dirname "$log")"
  local port
  port=$("$python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  setsid "$python" -m moto.server -H 127.0.0.1 -p "$port" </dev/null >>"$log" 2>&1 &
  echo "$! $(start_time $!) $port" >"$pid_file"
  for _ in $(seq $((wait_s * 5))); do
    answers "$port" && ours && say "started, pid $pid, http://127.0.0.1:$port" && return 0
    ours || break
    sleep 0.2
  done
  stop
  say "does not start; see $log"
  return 1
}

run() {
  start
  ours
  export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=ap-northeast-2 AWS_EC2_METADATA_DISABLED=true
  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local # not checked, but signed with
  export NANOGRID_EXECUTOR_POLL_S=${NANOGRID_EXECUTOR_POLL_S:-2} # a wait for messages costs nothing here, and stops as soon
  local made
  made=$("$python" deploy/aws/create.py)
  # shellcheck disable=SC2046 # one NAME=value a word
  exec env $(echo "$made") "$@"
}

stop() {
  ours || { rm -f "$pid_file"; return 0; }
  kill "$pid"
  for _ in $(seq $((wait_s * 5))); do
    ours || break
    sleep 0.2
  done
  ours && { say "pid $pid does not stop; see $log"; return 1; }
  rm -f "$pid_file"
  say 'stopped'
}

case ${1:-} in
run) shift && run "$@" ;;
stop) stop ;;
*)
  echo "usage: $0 run COMMAND…|stop" >&2
  exit 2
  ;;
esac
