"""Reads a queue message field by field, trusts nothing, and names faults in the sender's spelling."""

from collections.abc import Callable, Mapping
from typing import Any

from nanogrid import limits
from nanogrid.runtimes import is_handler

__all__ = ["Fields", "MalformedError"]

_SHOWN = 40  # characters of a wrong value that an error repeats


class MalformedError(ValueError):
    """The message is none that NanoGrid understands. It says why. Trying again would not help.

    `error_type` is what the record of its job says, in the contract's vocabulary.
    """

    def __init__(self, message: str, error_type: str = "Lost") -> None:
        super().__init__(message)
        self.error_type = error_type


class Fields:
    """The fields of one message by our names. `spelling` maps them to the sender's, where those differ.

    A field that is null was left out, and is "" or 0 here. Every method raises MalformedError for an impossible value.
    """

    def __init__(self, message: Mapping[str, Any], spelling: Mapping[str, str]) -> None:
        self._spelling = spelling
        theirs = {ours: message.get(theirs) for ours, theirs in spelling.items()}
        self._get = {**message, **theirs}.get if theirs else message.get

    def spelt(self, name: str) -> str:
        """Return the sender's name of a field."""
        return self._spelling.get(name, name)

    def require(self, *names: str) -> None:
        """Refuse a message that leaves one of these out, or empty."""
        for name in names:
            if self._get(name) in (None, ""):
                raise MalformedError(f"{self.spelt(name)} is missing")

    def text(self, name: str, most: int) -> str:
        """Return a line of at most `most` characters."""
        value = self._get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise MalformedError(f"{self.spelt(name)} is not a string")
        if len(value) > most:
            raise MalformedError(f"{self.spelt(name)} has {len(value)} characters; use at most {most}")
        if not value.isprintable():
            raise MalformedError(f"{self.spelt(name)} has a character that cannot be printed")
        return value

    def _matching(self, name: str, most: int, matches: Callable[[str], object], meaning: str) -> str:
        value = self.text(name, most)
        if value and not matches(value):
            raise MalformedError(f"{self.spelt(name)} {value[:_SHOWN]!r} is not {meaning}")
        return value

    def identifier(self, name: str) -> str:
        """Return the id of a job or a function."""
        return self._matching(name, 128, limits.ID.fullmatch, limits.ID_MEANS)

    def handler(self) -> str:
        """`module.function`, or a source file's name."""
        return self._matching("handler", limits.MAX_HANDLER, is_handler, "module.function, such as main.handler")

    def sha256(self, name: str) -> str:
        """Return a digest in hex."""
        return self._matching(name, 64, limits.SHA256.fullmatch, "64 lower-case hex digits")

    def key(self, name: str) -> str:
        """Return an object key."""
        key = self.text(name, limits.MAX_KEY_BYTES)
        if len(key.encode()) > limits.MAX_KEY_BYTES:
            raise MalformedError(
                f"{self.spelt(name)} has {len(key.encode())} bytes; use at most {limits.MAX_KEY_BYTES}"
            )
        if key and not limits.is_relative_key(key):
            raise MalformedError(
                f"{self.spelt(name)} {key[:_SHOWN]!r} is not a key such as folder/code.zip: no leading /, no .., no //"
            )
        return key

    def whole(self, name: str, least: int, most: int) -> int:
        """Return a whole number within its bounds, or 0 when left out, which always means the default."""
        value = self._get(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool):  # a bool is an int to Python, and to nobody else
            raise MalformedError(f"{self.spelt(name)} is not a whole number")
        if value and not least <= value <= most:
            raise MalformedError(f"{self.spelt(name)} is {value}; use {least} to {most}")
        return value

    def timeout_ms(self) -> int | None:
        """Read the time limit, which its sender gave in seconds, or under its own name in milliseconds."""
        if self._get("timeout") is None:
            return None
        unit = 1000 if self.spelt("timeout") == "timeout" else 1
        return self.whole("timeout", 0, limits.MAX_TIMEOUT_S * 1000 // unit) * unit

    def flag(self, name: str) -> bool:
        """Return true or false, false when left out."""
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise MalformedError(f"{self.spelt(name)} is not true or false")
        return bool(value)

    def env(self) -> dict[str, str]:
        """Environment variables."""
        env = self._get("env")
        if env is None:
            return {}
        if not isinstance(env, dict):
            raise MalformedError("env is not an object of strings")
        for name, value in env.items():
            if not limits.ENV_NAME.fullmatch(name):
                raise MalformedError(f"env: {name[:_SHOWN]!r} is not a name; use letters, digits and _, no digit first")
            if not isinstance(value, str) or "\0" in value:
                raise MalformedError(f"env: the value of {name[:_SHOWN]!r} is not a string without NUL")
        size = limits.size_of_env(env)
        if size > limits.MAX_ENV_BYTES:
            raise MalformedError(f"env is {size} bytes together; the limit is {limits.MAX_ENV_BYTES} bytes")
        return env

    def source(self, name: str, most_bytes: int) -> bytes:
        """Source text as UTF-8. B"" when left out."""
        value = self._get(name)
        if value is None:
            return b""
        if not isinstance(value, str) or not value or "\0" in value:
            raise MalformedError(f"{self.spelt(name)} is not the text of a source file")
        source = value.encode()
        if len(source) > most_bytes:
            raise MalformedError(f"{self.spelt(name)} is {len(source)} bytes; the limit is {most_bytes} bytes")
        return source
