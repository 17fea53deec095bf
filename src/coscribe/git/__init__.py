"""Git in the folder of a workspace: the program ``git``, run so that nothing in the folder decides what is run."""
