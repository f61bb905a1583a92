#!/usr/bin/env bash
# dockerd.sh start|stop|ours: a Docker daemon where no service manager runs one.
# `start` leaves a daemon that answers alone. `stop` stops the one that `start` started, and no other. `ours` says
# whether that one runs. More flags for dockerd: DOCKERD_FLAGS.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"
pid_file=.nanogrid/dockerd.pid
log=.nanogrid/logs/dockerd.log
wait_s=60

say() { echo "dockerd: $*" >&2; }

answers() { timeout 10 docker version >/dev/null 2>&1; }

# Ticks since boot when the process started: with it a pid means one process only. Empty once it has ended.
start_time() { awk '{ sub(/.*\) /, ""); if ($1 != "Z") print $20 }' "/proc/$1/stat" 2>/dev/null || true; }

ours() {
  local pid started
  read -r pid started 2>/dev/null <"$pid_file" && [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

# Starts one with these further flags and waits until it answers.
try() {
  local pid
  # shellcheck disable=SC2086 # the flags are a list
  setsid dockerd ${DOCKERD_FLAGS:-} "$@" </dev/null >>"$log" 2>&1 &
  pid=$!
  echo "$pid $(start_time "$pid")" >"$pid_file"
  for _ in $(seq $((wait_s * 5))); do
    if answers; then
      say "started, pid $pid; stop it with \`make down\`"
      return 0
    fi
    if ! ours; then
      rm -f "$pid_file"
      return 1
    fi
    sleep 0.2
  done
  stop
  return 1
}

start() {
  answers && return 0
  if [ -d /run/systemd/system ]; then
    say 'does not answer; start it with `systemctl start docker`'
  elif [ "$(id -u)" != 0 ]; then
    say 'does not answer, and only root can start it'
  elif ! command -v dockerd >/dev/null; then
    say 'is not installed'
  else
    mkdir -p "$(dirname "$log")"
    # Sandboxes have no network, so a machine without iptables will do as well.
    try || try --iptables=false --ip6tables=false --bridge=none && return 0
    say "does not start; see $log"
  fi
  return 1
}

stop() {
  local pid
  ours || { rm -f "$pid_file"; return 0; }
  read -r pid _ <"$pid_file"
  kill "$pid"
  for _ in $(seq $((wait_s * 5))); do
    if ! ours; then
      rm -f "$pid_file"
      say 'stopped'
      return 0
    fi
    sleep 0.2
  done
  say "pid $pid does not stop; see $log"
  return 1
}

case ${1:-} in
start | stop | ours) "$1" ;;
*)
  echo "usage: $0 start|stop|ours" >&2
  exit 2
  ;;
esac
