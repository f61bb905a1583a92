"""The archive gate: decides whether a zip is one we unpack, without trusting a word it says about itself.

All functions block and take a path or a binary file object. Callers wrap them in `asyncio.to_thread`. A refused zip
raises ArchiveRejectedError or TooLargeError. Nothing is ever repaired.
"""

from nanogrid.bundle.folder import unpack
from nanogrid.bundle.gate import inspect, verify
from nanogrid.bundle.model import Bundle, BundleLimits, Entry
from nanogrid.bundle.single import pack_single

__all__ = ["Bundle", "BundleLimits", "Entry", "inspect", "pack_single", "unpack", "verify"]
