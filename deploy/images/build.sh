#!/usr/bin/env bash
# Builds sandbox images: `build.sh python:3.11 …` makes nanogrid/python:3.11-fat; without names, every image there is.
#
# Each image is a folder (python/) with one settings file per version (3.11.conf); the file of an image that has no
# versions says its own tag. It is made from its Dockerfile where a registry answers, else with debootstrap from Debian
# packages (as root; their signatures are checked), where the file names a suite that has them. An image whose inputs
# have not changed is left alone; FORCE=1 builds it anyway.
#
#   NANOGRID_CA_BUNDLE  file of extra certificates that pip should trust while building
#   NANOGRID_OFFLINE=1  do not ask a registry
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pull_timeout_s=20 # a registry that is there answers the first bytes far sooner

work=$(mktemp -d "${TMPDIR:-/var/tmp}/nanogrid-image.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

say() { echo "build.sh: $*" >&2; }

# The Debian mirror this machine's own apt uses for archive "$1" (debian or debian-security); nothing when it has none.
mirror() {
  command -v apt-get >/dev/null || return 0
  apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sort -u | grep -E "/$1/?\$" | head -n 1 || true
}

inputs_digest() { # folder version
  cat "$here/build.sh" "$here"/init/*.[ch] ${resident:+"$here/$resident"/*.[ch]} "$here/$1/Dockerfile" \
    "$here/$1/$2.conf" | sha256sum | cut -d ' ' -f 1
}

is_current() { # tag digest
  [ "${FORCE:-}" != 1 ] &&
    [ "$(docker image inspect --format '{{index .Config.Labels "nanogrid.inputs"}}' "$1" 2>/dev/null)" = "$2" ]
}

compile() { # folder of sources: init becomes nanogrid-init
  local compiler
  compiler=$(command -v cc || command -v gcc || command -v musl-gcc) ||
    { say 'a C compiler is needed: apt-get install gcc libc6-dev'; exit 1; }
  "$compiler" -static -Os -s -Wall -Wextra -o "$work/nanogrid-$1" "$here/$1"/*.c
}

registry_has() { # base image; true when it is here already or can be had
  [ "${NANOGRID_OFFLINE:-}" != 1 ] || return 1
  docker image inspect "$1" >/dev/null 2>&1 || timeout "$pull_timeout_s" docker manifest inspect "$1" >/dev/null 2>&1
}

build_from_registry() { # folder tag digest
  local context="$work/context"
  mkdir -p "$context"
  cp "$work"/nanogrid-* "$here/$1/Dockerfile" "$context/"
  cat "${NANOGRID_CA_BUNDLE:-/dev/null}" >"$context/ca.pem"
  docker build --quiet --label "nanogrid.inputs=$3" --label "nanogrid.toolchain=$toolchain" --build-arg "BASE=$base" \
    --build-arg "PACKAGES=${pip_packages:-$debian_packages}" --build-arg "PREPARE=$prepare" --tag "$2" "$context"
}

# What a sandbox never reads; licences stay.
strip_root() {
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/usr/share/{man,info,locale,lintian} \
    "$1"/usr/share/doc-base "$1"/usr/lib/python3/dist-packages/{numpy,pandas}/tests "$1"/tmp/* "$1"/run/*
  find "$1/usr/share/doc" -type f ! -name copyright -delete
  find "$1/usr/share/doc" -depth -type d -empty -delete
  find "$1" -xdev -type f -perm /6000 -exec chmod ug-s {} +
}

build_from_debian() { # tag digest
  local root="$work/root" main security imported
  [ "$(id -u)" = 0 ] || { say "no registry answers, and debootstrap needs root: run this with sudo"; exit 1; }
  command -v debootstrap >/dev/null ||
    { say 'no registry answers, and debootstrap is not installed: apt-get install debootstrap'; exit 1; }
  main=$(mirror debian)
  security=$(mirror debian-security)
  debootstrap --force-check-gpg --variant=minbase --include="${debian_packages// /,}" "$suite" "$root" \
    ${main:+"$main"} >"$work/log" ||
    { tail -n 20 "$work/log" >&2; exit 1; }
  if [ -n "$security" ]; then
    upgrade_from "$root" "$security"
  fi
  install -m 0755 "$work"/nanogrid-* "$root/sbin/"
  if [ -n "$prepare" ]; then
    chroot "$root" sh -c "$prepare"
  fi
  mkdir -p "$root"/{code,output,opt/nanogrid,run/nanogrid}
  strip_root "$root"
  mkdir -p "$root/run/nanogrid"
  imported=$(tar -C "$root" --numeric-owner --one-file-system -c . | docker import \
    --change "LABEL nanogrid.inputs=$2 nanogrid.toolchain=$toolchain" --change 'ENV LANG=C.UTF-8' \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' -)
  docker tag "$imported" "$1" # only now: a build that was cut off must not look like an image that is up to date
}

# Security updates, where this machine knows a mirror of them. Best effort: the suite may be too old to have any.
upgrade_from() { # root mirror
  echo "deb $2 $suite-security main" >"$1/etc/apt/sources.list.d/security.list"
  chroot "$1" sh -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y dist-upgrade' \
    >>"$work/log" 2>&1 || say "no security updates for $suite could be had"
  rm -f "$1/etc/apt/sources.list.d/security.list"
}

build() { # name such as python:3.11
  local folder=${1%%:*} version=${1#*:} base='' suite='' pip_packages='' debian_packages=''
  local prepare='' resident='' toolchain=''
  local conf="$here/$folder/$version.conf" tag="nanogrid/$folder:$version-fat" digest previous sources
  [ -f "$conf" ] || { say "$1 is not known: there is no $folder/$version.conf"; exit 64; }
  # shellcheck disable=SC1090 # one of ours, beside this script
  source "$conf"
  digest=$(inputs_digest "$folder" "$version")
  if is_current "$tag" "$digest"; then
    say "$tag is up to date"
    return
  fi
  previous=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
  for sources in init $resident; do
    compile "$sources"
  done
  if registry_has "$base"; then
    say "building $tag from $base"
    build_from_registry "$folder" "$tag" "$digest"
  elif [ -z "$suite" ]; then
    say "$tag is left out: no registry answers, and no Debian release has it"
    return
  else
    say "building $tag from Debian $suite (no registry answers)"
    build_from_debian "$tag" "$digest"
  fi
  rm -rf --one-file-system "${work:?}"/*
  if [ -n "$previous" ]; then
    docker image rm "$previous" >/dev/null 2>&1 || say "the image before is still in use: $previous"
  fi
}

if [ $# = 1 ]; then
  build "$1"
  exit
fi
if [ $# = 0 ]; then
  for conf in "$here"/*/*.conf; do
    set -- "$@" "$(basename "$(dirname "$conf")"):$(basename "$conf" .conf)"
  done
fi
failed=
for name in "$@"; do
  "$here/build.sh" "$name" || failed="$failed $name" # one that cannot be had is no reason to do without the others
done
[ -z "$failed" ] || { say "not built:$failed"; exit 1; }
