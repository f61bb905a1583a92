#!/usr/bin/env bash
# pytest-xdist 3.8.0 marks a test's group by writing `item._nodeid`. In pytest 9.2.0 that is an attribute like any other,
# and `nodeid` is kept elsewhere: `--dist loadgroup` deals the tests of one group out to all workers, without a word.
# With pytest 8.4.2 the same file runs on one worker.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_group.py" <<'PY'
import os
import pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(40))
def test_it(number):
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY

workers() { # of pytest $1
  python3 -m venv "$folder/$1"
  "$folder/$1/bin/pip" install -q --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
  SEEN="$folder/$1.seen" "$folder/$1/bin/pytest" -q -p no:cacheprovider -n 2 --dist loadgroup "$folder/test_group.py" >/dev/null
  sort -u "$folder/$1.seen" | wc -l
}

new=$(workers 9.2.0)
old=$(workers 8.4.2)
echo "pytest-xdist 3.8.0, one group of 40 tests, two workers: pytest 9.2.0 runs it on $new, pytest 8.4.2 on $old"
[ "$new" = 2 ] && [ "$old" = 1 ]
