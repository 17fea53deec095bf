"""The Python client: open a file, edit it optimistically, lose nothing.

async with Client("ws://127.0.0.1:8777/ws", token) as client:
    notes = await client.open("notes")
    notes.insert(0, "Hello")
    await notes.synced()

    project = await client.open_workspace("project")
    page = project.open_offline(project.create("page.txt", project.mkdir("docs")))
    page.insert(0, "Typed before the server has heard of the file")
    await project.save()
"""

from coscribe.client.client import Client, ClientSettings
from coscribe.client.document import AccessEnded, Change, Document, Patch
from coscribe.client.pending import PendingFile
from coscribe.client.workspace import TreeChanged, TreeEnded, TreePatch, Workspace

__all__ = [
    "AccessEnded",
    "Change",
    "Client",
    "ClientSettings",
    "Document",
    "Patch",
    "PendingFile",
    "TreeChanged",
    "TreeEnded",
    "TreePatch",
    "Workspace",
]
