"""``coscribe replay``: a recorded editing history through the server."""


def replay() -> None:
    """Replay."""
