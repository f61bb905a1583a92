"""Reads Redis' error replies: which mean that the server is no primary any more, or takes no writes now."""

from redis.exceptions import BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError, ResponseError

# redis-py has classes for some replies and leaves the first word of the others. Redis 6.2 wraps an error inside of a
# script into a sentence of its own, with the word in the middle of it.
_DEMOTED_CLASSES = (ReadOnlyError, MasterDownError, BusyLoadingError)
_DEMOTED_WORDS = ("READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN", "MOVED")
_REFUSING_WORDS = ("OOM", "MISCONF", "NOREPLICAS")


def is_demoted(error: Exception) -> bool:
    """Tell whether the server is a replica, loads, or has lost its primary: another one may be the primary now.

    A command that was answered so has changed nothing.
    """
    return isinstance(error, _DEMOTED_CLASSES) or _says(error, _DEMOTED_WORDS)


def refuses_writes(error: Exception) -> bool:
    """Tell whether the server takes no writes now, for any reason."""
    return is_demoted(error) or isinstance(error, OutOfMemoryError) or _says(error, _REFUSING_WORDS)


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    text = str(error)
    return isinstance(error, ResponseError) and (text.startswith(words) or any(f"-{word} " in text for word in words))
