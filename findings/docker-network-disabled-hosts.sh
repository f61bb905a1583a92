#!/usr/bin/env bash
# Docker 20.10.24 through docker-py 7.1.0: a container made with `network_disabled=True` has an empty /etc/hosts, so
# `localhost` does not resolve in it, though its loopback is up. With `network_mode="none"` alone, which promises the
# same, it has the usual entries. Needs a Docker daemon; exits with 1 when the two no longer differ.
set -euo pipefail
work=$(mktemp -d)
trap 'docker image rm -f finding-hosts >/dev/null 2>&1; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check docker==7.1.0
docker version --format 'docker {{.Server.Version}}'

# The smallest image with a `cat`: this machine's own, and the libraries it needs.
mkdir "$work/root"
for file in /bin/cat $(ldd /bin/cat | grep -o '/[^ ]*'); do
  cp -L --parents "$file" "$work/root"
done
tar -C "$work/root" -c . | docker import - finding-hosts >/dev/null

"$work/venv/bin/python" - <<'PY'
import sys
import docker

client = docker.from_env()

def hosts(**options):
    made = client.api.create_container(
        "finding-hosts", ["/bin/cat", "/etc/hosts"],
        host_config=client.api.create_host_config(network_mode="none"), **options)
    try:
        client.api.start(made)
        client.api.wait(made)
        return client.api.logs(made).decode()
    finally:
        client.api.remove_container(made, force=True)

usual, disabled = hosts(), hosts(network_disabled=True)
print(f"network_mode='none':                        {usual.splitlines()}")
print(f"network_mode='none', network_disabled=True: {disabled.splitlines()}")
if not ("localhost" in usual and disabled == ""):
    sys.exit("it behaves differently now")
PY
