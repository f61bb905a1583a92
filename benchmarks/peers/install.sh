#!/usr/bin/env bash
# Makes benchmarks/.venv: the peers that come from PyPI. What is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=$(sha256sum peers/requirements.txt peers/install.sh | sha256sum)
[ "$wanted" != "$(cat .venv/.stamp 2>/dev/null)" ] || exit 0

# The system's own Python where it can make environments: it is the baseline, and no shim stands before it.
python=/usr/bin/python3
"$python" -c 'import ensurepip, venv' 2>/dev/null || python=python3
rm -rf .venv
"$python" -m venv .venv
pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
pip -r peers/requirements.txt
pip --no-deps aws-sam-cli==1.170.0
chmod +x .venv/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-*
echo "$wanted" >.venv/.stamp
