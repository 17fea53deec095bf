"""The collaboration core: pure values in, pure values out.

Nothing here knows of sockets, storage, clocks, randomness or logging; time and ids arrive as arguments.
"""
