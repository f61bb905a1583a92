"""Kills a process at an exact step, by wrapping a method so that its n-th call is the last."""

import functools
import importlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Method = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """The step of a death: before or after the `count`-th call of the method `where`, `module:Class.method`."""

    where: str
    when: str = "after"
    count: int = 1

    def __str__(self) -> str:
        return f"{self.where}={self.when}={self.count}"


def arm(text: str) -> None:
    """Wrap the method named by `str(Step)`."""
    where, when, count = text.split("=")
    owner, name = find(where)
    setattr(owner, name, dying(getattr(owner, name), when, int(count)))


def find(where: str) -> tuple[Any, str]:
    """Return the class and the method's name. AttributeError when the product has no such method."""
    module, _, path = where.partition(":")
    class_name, _, method = path.partition(".")
    owner = getattr(importlib.import_module(module), class_name)
    getattr(owner, method)
    return owner, method


def dying(method: Method, when: str, count: int) -> Method:
    """Wrap a method so that its `count`-th call, before or after it as `when` says, kills this process with SIGKILL."""
    left = count

    @functools.wraps(method)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if when == "before":
            left -= 1
            _die(left)
        answer = await method(*args, **kwargs)
        if when == "after":
            left -= 1
            _die(left)
        return answer

    return wrapped


def _die(left: int) -> None:
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
