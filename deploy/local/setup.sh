#!/usr/bin/env bash
# Brings this checkout to where everything runs: system packages, .venv, a Docker daemon, sandbox images.
# `setup.sh venv` stops after .venv, `setup.sh images` builds every image there is instead of those the demo and the
# tests need, `setup.sh tests` brings what only tests need too. What is there already is left alone; a second run takes a
# moment.
set -euo pipefail
setup_images=(python:3.11 node:18 cpp:latest go:latest)
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"
state=.nanogrid/setup
mkdir -p "$state"
exec 9>"$state/lock"
flock 9 # two at once would install twice

say() { echo "setup: $*" >&2; }

has() { command -v "$1" >/dev/null; }

# A Python that will do, as a command: 3.11 or newer, able to make environments. The distribution's comes first: it is
# built with the compiler's optimisations, which version managers leave out; that is a tenth of every call.
find_python() {
  local python
  for python in ${PYTHON:-} /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

# One line per Debian package that is missing for what was asked.
missing() {
  find_python >/dev/null || echo python3-venv
  [ "$1" = venv ] && return
  has redis-server || echo redis-server
  has dockerd || echo docker.io
  has docker || { has dockerd && echo docker-cli; } || true # Debian 12 has both in one package
  has debootstrap || echo debootstrap
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
  has mkfs.ext4 || echo e2fsprogs
  has gcc || echo gcc
  has node || echo nodejs # for functions that run as plain processes
  [ -e /usr/include/stdio.h ] || echo libc6-dev
  [ "$1" != tests ] || has chromium || echo chromium # tries what web pages can do to a grid
}

install_packages() {
  local wanted
  wanted=$(missing "$1" | sort | tr '\n' ' ')
  [ -n "$wanted" ] || return 0
  [ "$wanted" != "$(cat "$state/packages-failed" 2>/dev/null)" ] || return 0 # said so last time
  if [ "$(id -u)" != 0 ] || ! has apt-get; then
    say "not installing (needs root and apt): $wanted"
  else
    say "installing $wanted"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && for package in $wanted; do
      apt-get install -qy --no-install-recommends "$package" || say "no package $package; going on without it"
    done; } >"$state/apt.log" 2>&1 9>&- || say "apt-get failed, going on without; see $state/apt.log"
  fi
  missing "$1" | sort | tr '\n' ' ' >"$state/packages-failed"
}

pip() { .venv/bin/python -m pip install --disable-pip-version-check "$@"; }

make_venv() {
  local wanted python
  wanted=$(sha256sum requirements.lock pyproject.toml deploy/local/setup.sh | sha256sum)
  [ "$wanted" = "$(cat .venv/.stamp 2>/dev/null)" ] && return
  python=$(find_python) || { say 'needs Python 3.11 or newer with venv (apt-get install python3-venv)'; exit 1; }
  say "making .venv with $($python --version)"
  "$python" -m venv --clear .venv # another Python may have made it
  # The build backend is in the lock too, so nothing unpinned is fetched to install ourselves.
  if ! { pip --require-hashes -r requirements.lock && pip --no-deps --no-build-isolation -e .; } >"$state/pip.log" 2>&1; then
    tail -n 20 "$state/pip.log" >&2
    say "pip failed; all it said is in $state/pip.log"
    exit 1
  fi
  echo "$wanted" >.venv/.stamp
}

make_images() { # names, or nothing for all
  if [ "$(id -u)" != 0 ]; then
    say 'not root: functions will run as plain processes, without isolation'
  elif deploy/local/dockerd.sh start 9>&-; then
    deploy/images/build.sh "$@" 9>&- || say 'not every image could be built; runtimes without one are not offered'
  else
    say 'no Docker: functions will run as plain processes, without isolation'
  fi
}

install_packages "${1:-all}"
make_venv
case ${1:-} in
  venv) ;;
  images) make_images ;;
  *) make_images "${setup_images[@]}" ;;
esac
