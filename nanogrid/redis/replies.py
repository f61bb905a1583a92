"""Classifies error replies of Redis: the server is not the primary any more, or does not accept writes."""

from redis.exceptions import BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError, ResponseError

# redis-py has classes for some error replies; for others the message begins with the error's word. Redis 6.2 wraps the
# error of a script in a sentence of its own, with that word in the middle.
_DEMOTED_CLASSES = (ReadOnlyError, MasterDownError, BusyLoadingError)
_DEMOTED_WORDS = ("READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED", "CLUSTERDOWN", "TRYAGAIN", "MOVED")
_REFUSING_WORDS = ("OOM", "MISCONF", "NOREPLICAS")


def is_demoted(error: Exception) -> bool:
    """Return whether the server is a replica, is loading, or has lost its primary, so that another may be the primary.

    A command with such a reply changed nothing.
    """
    return isinstance(error, _DEMOTED_CLASSES) or _says(error, _DEMOTED_WORDS)


def refuses_writes(error: Exception) -> bool:
    """Return whether the server does not accept writes now, for any reason."""
    return is_demoted(error) or isinstance(error, OutOfMemoryError) or _says(error, _REFUSING_WORDS)


def _says(error: Exception, words: tuple[str, ...]) -> bool:
    text = str(error)
    return isinstance(error, ResponseError) and (text.startswith(words) or any(f"-{word} " in text for word in words))
