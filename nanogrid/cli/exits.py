"""The exit codes of the command line, stable for scripts."""

from enum import IntEnum
from http import HTTPStatus


class Exit(IntEnum):
    """How the command ended. Typer itself leaves with USAGE for arguments it cannot read."""

    OK = 0
    FUNCTION_FAILED = 1  # the platform worked, the function did not
    USAGE = 2  # an argument, or the request made of it, was refused
    NOT_FOUND = 3
    AUTH = 4
    UNAVAILABLE = 5  # nobody answers, or a backend is down: trying again is safe
    INTERNAL = 6  # a fault of NanoGrid
    INTERRUPTED = 130  # Ctrl-C, as shells say it


class CliError(Exception):
    """The command failed. The message is for the person at the terminal."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_SPECIAL = {
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.UNAUTHORIZED: Exit.AUTH,
    HTTPStatus.FORBIDDEN: Exit.AUTH,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.UNAVAILABLE,
    HTTPStatus.BAD_GATEWAY: Exit.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: Exit.UNAVAILABLE,
}


def of_status(http_status: int) -> Exit:
    """Return the exit code for a request that was answered with this error status."""
    if special := _SPECIAL.get(HTTPStatus(http_status) if http_status in set(HTTPStatus) else HTTPStatus.IM_A_TEAPOT):
        return special
    return Exit.USAGE if http_status < HTTPStatus.INTERNAL_SERVER_ERROR else Exit.INTERNAL
