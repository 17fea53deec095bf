"""The performance scenarios behind ``coscribe bench``; docs/performance.md says what each of them does.

cli/bench.py --> runner  --starts--> load (one process per run, on one processor)
                                       |--starts--> the server (a process of its own, on another)
                                       '--runs----> busy, many, join, idle, replay
                 report  <--figures----'
"""

NAMES = ("busy-8", "busy-50", "many", "join", "idle", "replay")
"""The scenarios, without what it takes to import them."""
