"""Suggests the name that a misspelt one was meant to be."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_CLOSE = 0.6  # of 1: `functonId` and `function-id` are as close to function_id, `event` and `code` are not
_MOST_CHARS = 64  # of a name that is looked at: comparing takes a time that grows with the product of both lengths


def nearest(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """Return the known name that a word is closest to, or None. Case, blanks, `-` and `_` do not count.

    `synonyms` are other words for known names, in lower case and without blanks, `-` and `_`.
    """
    by_key = {_key(name): name for name in known}
    key = _key(word[:_MOST_CHARS])
    if synonyms and (meant := synonyms.get(key)) in by_key.values():
        return meant
    close = get_close_matches(key, by_key, n=1, cutoff=_CLOSE)
    return by_key[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return the end of an error's sentence about an unknown name: the one that was meant, or nothing."""
    meant = nearest(word, known, synonyms)
    return f"; did you mean {meant!r}?" if meant else ""


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " -_")
