"""``python -m coscribe``."""

from coscribe.cli import main

main()
