"""Why a local grid cannot start."""


class StartError(Exception):
    """The grid cannot start; the message says why and what to do."""
