"""The `nanogrid` command: the local grid, and everything its REST API can do."""

import sys

from nanogrid.cli.exits import CliError, Exit


def main() -> None:
    """Run the command line. Leaves with one of `Exit`'s codes, and without a traceback for anything foreseen."""
    from nanogrid.cli.app import app, hoist  # noqa: PLC0415 - Ctrl-C while it loads shall be quiet as well

    try:
        app(hoist(sys.argv[1:]))
    except CliError as failure:
        print(f"nanogrid: {failure}", file=sys.stderr)  # noqa: T201 - it is a command
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
