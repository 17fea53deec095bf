"""The Python client: open a file, edit it optimistically, lose nothing.

async with Client("ws://127.0.0.1:8777/ws", token) as client:
    notes = await client.open("notes")
    notes.insert(0, "Hello")
    await notes.synced()
"""

from coscribe.client.client import Client, ClientSettings
from coscribe.client.document import AccessEnded, Change, Document, Patch
from coscribe.client.pending import PendingFile

__all__ = ["AccessEnded", "Change", "Client", "ClientSettings", "Document", "Patch", "PendingFile"]
