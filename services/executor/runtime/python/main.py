"""The resident Python runtime: dials out to the executor, becomes one function's, serves its calls one after another.

Standard library only, Python 3.9 or later. See docs/runtime-contract.md for what travels on the socket.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
if _HERE not in sys.path:  # PYTHONSAFEPATH leaves it out
    sys.path.insert(0, _HERE)

from nanogrid_runtime import resident  # noqa: E402 - found through the path above

# Neither our folder nor anything in it may shadow what the function imports.
sys.path.remove(_HERE)

if __name__ == "__main__":
    resident.main(os.environ.get("NANOGRID_IO", "/run/nanogrid"), sys.argv[1:])
