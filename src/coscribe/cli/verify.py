"""``coscribe verify``: is everything that was ever acknowledged still there, and unchanged?"""


def verify() -> None:
    """Verify."""
