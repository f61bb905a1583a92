"""Sets up the root logger as AWS Lambda does: lines are printed before the function has configured anything.

The function's own configuration takes precedence: `basicConfig` replaces the runtime's handler, and a line that another
handler prints is not printed twice.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from importlib.machinery import PathFinder

_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
_DATE = "%Y-%m-%dT%H:%M:%S"
_LEVEL = "AWS_LAMBDA_LOG_LEVEL"  # as on Lambda: the root logger's level, WARNING when it is left out
_PRINTING_HANDLERS = {"QueueHandler"}  # of logging.handlers. The rest send lines elsewhere


_STANDARD = os.path.join(os.path.dirname(os.__file__), "logging", "__init__.py")


class ImportHook:
    """Sets up logging right after the function has imported it, which most never do."""

    def find_spec(self, name, path=None, target=None):  # noqa: ANN001, ANN201 - the import system's protocol
        """Return the usual spec of the standard library's logging, with the set-up added to its loader."""
        if name != "logging":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or spec.origin != _STANDARD:
            return None
        execute = spec.loader.exec_module

        def execute_and_set_up(module) -> None:  # noqa: ANN001
            execute(module)
            sys.meta_path.remove(self)
            set_up(module)

        spec.loader.exec_module = execute_and_set_up
        return spec


def install() -> None:
    """Set up logging now, or as soon as it is imported."""
    if "logging" in sys.modules:
        set_up(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, ImportHook())


def set_up(logging) -> None:  # noqa: ANN001 - the module, which is not imported here
    """Add the runtime's handler to the root logger."""
    handler = _handler(logging)
    root = logging.getLogger()
    root.addHandler(handler)
    level = logging.getLevelName(os.environ.get(_LEVEL, "").upper())
    if isinstance(level, int):
        root.setLevel(level)
    configure = logging.basicConfig

    @functools.wraps(configure)
    def basic_config(**options):  # noqa: ANN003, ANN202
        if root.handlers == [handler]:  # with a handler present it would do nothing
            root.removeHandler(handler)
        try:
            configure(**options)
        finally:
            if not root.handlers:
                root.addHandler(handler)

    logging.basicConfig = basic_config


def _handler(logging):  # noqa: ANN001, ANN202 - a Handler
    class LambdaHandler(logging.StreamHandler):
        """Prints to the current stderr."""

        @property
        def stream(self):  # noqa: ANN202
            return sys.stderr

        @stream.setter
        def stream(self, _) -> None:  # noqa: ANN001 - StreamHandler sets one when it is made
            pass

        def filter(self, record):  # noqa: ANN001, ANN202
            record.aws_request_id = os.environ.get("JOB_ID", "")
            return not _is_printed(record, self, logging) and super().filter(record)

    handler = LambdaHandler()
    formatter = logging.Formatter(_FORMAT, _DATE)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


def _is_printed(record, ours, logging) -> bool:  # noqa: ANN001 - a LogRecord, our handler
    """Return whether a handler of the function's own prints the record, from its logger up to the root."""
    logger = logging.Logger.manager.loggerDict.get(record.name, logging.root)
    while isinstance(logger, logging.Logger):
        for handler in logger.handlers:
            if handler is not ours and record.levelno >= handler.level and _prints(handler, logging):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _prints(handler, logging) -> bool:  # noqa: ANN001
    """Return whether a handler's lines end in the output. An unknown class counts as printing."""
    if isinstance(handler, logging.NullHandler):
        return False
    if isinstance(handler, logging.FileHandler):
        return handler.baseFilename.startswith(("/dev/", "/proc/"))
    if isinstance(handler, logging.StreamHandler):
        return _is_output(handler.stream)
    for kind in type(handler).__mro__:
        if kind.__module__ == "logging.handlers":
            target = getattr(handler, "target", None)  # a MemoryHandler's
            return kind.__name__ in _PRINTING_HANDLERS or (target is not None and _prints(target, logging))
    return True


def _is_output(stream) -> bool:  # noqa: ANN001 - any object with a write method
    if stream in (sys.stdout, sys.stderr):
        return True
    try:
        written = os.fstat(stream.fileno())
    except Exception:  # no file: text in memory, or a wrapper around stdout or stderr
        return not hasattr(stream, "getvalue")
    return any(os.path.samestat(written, os.fstat(number)) for number in (1, 2))
