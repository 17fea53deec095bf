"""Coscribe beside its peers: the same load on each, from real clients of each. ``make bench-peers``.

__main__ --> runner --starts--> a server (systems.py), on one processor
                |-----starts--> load.mjs with the system's driver, on another
                '--> Report --> page.py (docs/benchmarks.md), plot.py (docs/benchmarks.svg)
"""
