"""The resident Python runtime: connects to the executor, loads one function and serves its calls one by one.

Standard library only, Python 3.9 or later. See docs/runtime-contract.md for the frames on the socket.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
if _HERE not in sys.path:  # PYTHONSAFEPATH leaves it out
    sys.path.insert(0, _HERE)

from nanogrid_runtime import resident  # noqa: E402 - found through the path above

# Nothing in this folder may shadow a module that the function imports.
sys.path.remove(_HERE)

if __name__ == "__main__":
    resident.main(os.environ.get("NANOGRID_IO", "/run/nanogrid"), sys.argv[1:])
