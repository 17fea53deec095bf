"""Access events of what happens on sockets."""

from __future__ import annotations

from tests.api.sockets import Socket
from tests.api.town import Town


async def test_who_opens_a_document_and_who_may_not_is_noted_once_a_minute(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    socket, stranger = Socket(town), Socket(town)
    await socket.hello(ben.access_token)
    await stranger.hello(cleo.access_token)
    for _ in range(5):
        await socket.join(document)
        socket.say(type="leave", fileId=document)
        socket.heard.clear()
        stranger.say(type="join", fileId=document)
        assert (await stranger.hear("error"))["code"] == "file_not_found"
        stranger.heard.clear()
    events = (await ben.get(f"/documents/{document}/events"))["items"]
    opened = [(event["actor"], event["outcome"]) for event in events if event["action"] == "document.opened"]
    assert sorted(opened) == sorted([(ben.id, "done"), (cleo.id, "file_not_found")])
    assert [item["documentId"] for item in (await ben.get("/documents?which=recent"))["items"]] == [document]
