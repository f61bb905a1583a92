"""Tunes Python's garbage collector for long-lived servers."""

import gc


def freeze_heap() -> None:
    """Exclude all objects that exist now from garbage collection. Call it once everything is loaded and open.

    Otherwise a full collection scans every imported module, which takes 30 ms in the middle of a call.
    """
    gc.collect()
    gc.freeze()
