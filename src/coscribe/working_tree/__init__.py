"""The working tree: a workspace as files on a disk. The disk is a client, never an authority."""
