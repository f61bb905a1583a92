"""JSON for property tests."""

from typing import Any

from hypothesis import strategies as st

_DEPTH = 3


def nested(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """These leaves, bare or in lists and objects. Spelt out level by level: `st.recursive` was seen to be flaky."""
    values = leaves
    for _ in range(_DEPTH):
        values = leaves | st.lists(values, max_size=4) | st.dictionaries(names, values, max_size=4)
    return values
