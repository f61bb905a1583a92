"""The resident Python runtime: dials out to the executor, becomes one function's, serves its calls one after another.

Standard library only, Python 3.9 or later. See docs/runtime-contract.md for what travels on the socket.
"""

import os
import sys

from nanogrid_runtime import resident

# Neither our folder nor anything in it may shadow what the function imports.
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

if __name__ == "__main__":
    resident.main(os.environ.get("NANOGRID_IO", "/run/nanogrid"))
