"""``coscribe cat``, ``watch`` and ``log``: looking at documents."""


def cat() -> None:
    """Print a document."""


def watch() -> None:
    """Watch a document."""


def log() -> None:
    """Print the log."""
