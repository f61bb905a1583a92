"""Adds the cure to the errors that functions often fail with because they run in a sandbox."""

from __future__ import annotations

import errno
import sys

_CAUSES = 8  # exceptions that are looked at in a chain of causes

# Packages with another name than the module that they bring.
_PACKAGES = {
    "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
    "dotenv": "python-dotenv", "jose": "python-jose", "jwt": "PyJWT", "PIL": "pillow", "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}  # fmt: skip
_NO_NETWORK = " (a function has no network but $AI_ENDPOINT)"
_KINDS = {str: "a string", list: "a list", int: "a number", float: "a number", bool: "a boolean", type(None): "null"}


def hint(error: BaseException, event: object, *, in_call: bool, by_author: bool) -> str:
    """Return the cure as the end of the error's sentence, or "".

    `in_call` says that a handler failed, when called with `event`; `by_author` that its own code raised the error.
    """
    chain = list(_chain(error))
    if isinstance(error, ModuleNotFoundError):
        return _of_import(error)
    if any(isinstance(one, OSError) and one.errno == errno.EROFS for one in chain):
        return " (write to /tmp, and to /output what is to be kept: everything else is read-only)"
    if any(_is_of_network(one) for one in chain):
        return _NO_NETWORK
    if not in_call or not isinstance(error, (AttributeError, TypeError)):
        return ""
    if not by_author and "positional argument" in str(error):
        return " (a handler takes two arguments: event and context)"
    kind, name = _KINDS.get(type(event)), type(event).__name__
    # Python names the type in its own errors. One that the function raises of itself has another cause.
    is_of_event = any(words in str(error) for words in (f"'{name}' object", f"{name} indices", f"{name}ing indices"))
    return f" (the payload is {kind}, not an object)" if kind and by_author and is_of_event else ""


def _of_import(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    if not name or name in sys.modules:  # a part of a package that is there
        return ""
    package = _PACKAGES.get(name, name.replace("_", "-"))
    return (
        f" (put it beside the handler and upload the folder: a file {name}.py of yours, or a package by"
        f" `pip install --target . {package}`)"
    )


def _is_of_network(error: BaseException) -> bool:
    socket = sys.modules.get("socket")
    if socket is not None and isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return isinstance(error, OSError) and error.errno == errno.ENETUNREACH


def _chain(error: BaseException):  # noqa: ANN202 - yields exceptions
    for _ in range(_CAUSES):
        yield error
        following = error.__cause__ or error.__context__
        if following is None:
            return
        error = following
