"""Texts that were written to the disk become edits, many at once: a formatter touches everything.

written --which state was it made of (`states`)--> announced, all in one --> submitted, side by side --> recorded
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from coscribe.core.errors import CoscribeError
from coscribe.core.operation import Operation, apply, changes, from_edits, to_edits
from coscribe.model import content_hash
from coscribe.working_tree.engine import MAY_BE_LATER
from coscribe.working_tree.record import Displaced, Taking
from coscribe.working_tree.states import (
    Candidate,
    Choice,
    Edits,
    State,
    beginning,
    bridged,
    choose,
    difference,
    followed,
    kept,
    to_submit,
)
from coscribe.working_tree.threads import in_thread
from coscribe.working_tree.workplace import Read, Workplace, to_be_read

BATCH = 100
"""Texts that are announced, submitted and recorded together."""


class Written(NamedTuple):
    """A text that a file holds by now; ``displaced``: not the file in the tree, but one that was taken out of it."""

    file_id: str
    text: str
    read: Read
    displaced: Displaced | None = None


class Refused(NamedTuple):
    written: Written
    error: CoscribeError


class _Prepared(NamedTuple):
    written: Written
    taking: Taking
    operation: Operation


class Texts:
    """``stale``: those of which the disk may not show what they are by now, through what was taken in."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self.stale: set[str] = set()

    async def recover(self) -> None:
        """Finds out what became of what was announced when the process died, or the engine did not answer."""
        for taking in self._place.record.takings():
            at = await self._place.engine.place_of(taking.file_id, f"{taking.series}:1")
            if at is None:
                await in_thread(self._drop, [taking])
            else:
                await self._record([(taking, at.document_version)])

    async def take(self, written: Sequence[Written], *, by_git: bool) -> list[Refused]:
        """Takes them in; what was refused, with why. (What `MAY_BE_LATER` says is announced, and is found out about
        before anything else is done.)"""
        refused: list[Refused] = []
        for start in range(0, len(written), BATCH):
            refused += await self._take(written[start : start + BATCH], by_git=by_git)
        return refused

    async def text_of(self, file_id: str, state: State) -> str | None:
        """What the disk showed; None: it is not to be had any more."""
        if state.text is not None:
            return state.text
        try:
            return (await self._place.engine.text(file_id, state.version)).text
        except CoscribeError as error:
            if error.code in MAY_BE_LATER:
                raise
            return None

    # ---- steps

    async def _take(self, written: Sequence[Written], *, by_git: bool) -> list[Refused]:
        refused: list[Refused] = []
        prepared: list[_Prepared] = []
        for each in written:
            try:
                prepared.append(await self._prepare(each, by_git=by_git))
            except CoscribeError as error:
                refused.append(Refused(each, error))
        submitted = [ready for ready in prepared if changes(ready.operation)]
        done = [(ready.taking, ready.taking.base.version) for ready in prepared if not changes(ready.operation)]
        if submitted:
            await in_thread(self._announce, [ready.taking for ready in submitted])
        dropped: list[Taking] = []
        answers = await asyncio.gather(*map(self._submit, submitted))
        for ready, answer in zip(submitted, answers, strict=True):
            if not isinstance(answer, CoscribeError):
                done.append((ready.taking, answer))
                continue
            refused.append(Refused(ready.written, answer))
            if answer.code not in MAY_BE_LATER:
                dropped.append(ready.taking)
        if dropped:
            await in_thread(self._drop, dropped)
        await self._record(done)
        return refused

    async def _prepare(self, written: Written, *, by_git: bool) -> _Prepared:
        """Which state it was made of, and so which operation it is. Of what is too long for one operation it is the
        beginning; with that taken, the rest is what differs, and is found by the next look at the file."""
        place, file_id, displaced = self._place, written.file_id, written.displaced
        states = place.record.states.get(file_id) or (displaced.states if displaced is not None else [])
        candidates = await self._candidates(file_id, states[-1:] if by_git else kept(states, place.clock()))
        choice = await in_thread(choose, candidates, written.text, newest_only=by_git)
        text, read, node = written.text, written.read, None
        if displaced is None:
            node = place.known(place.record.nodes[file_id]._replace(digest=read.digest), read.seen)
        first = beginning(choice, place.engine.operation_length)
        if first is not None:
            choice, text, unread = first, apply(choice.text, first.difference), to_be_read(read.seen)
            node = node._replace(signature=unread, digest="") if node is not None else None
            displaced = displaced._replace(signature=unread, digest="") if displaced is not None else None
        edits = tuple(to_edits(choice.difference)) if choice.difference else ()
        base = choice.state._replace(until=None)
        taking = Taking(place.series(), file_id, base, choice.text, text, edits, node, displaced)
        return _Prepared(written, taking, to_submit(choice))

    async def _candidates(self, file_id: str, states: Sequence[State]) -> list[Candidate]:
        """States that may have been read, with their texts; where none is to be had, what there is now."""
        texts = await self._place.engine.texts_at(file_id, {each.version for each in states if each.text is None})
        shown = [(state, texts.get(state.version) if state.text is None else state.text) for state in states]
        found = [Candidate(state, text) for state, text in shown if text is not None]
        if not found:
            at = await self._place.engine.text(file_id)
            found.append(Candidate(State(at.version, content_hash(at.text).hex()), at.text))
        return found

    async def _submit(self, prepared: _Prepared) -> int | CoscribeError:
        """The version right behind it."""
        taking = prepared.taking
        try:
            place = await self._place.engine.edit(
                taking.file_id, taking.base.version, prepared.operation, f"{taking.series}:1"
            )
        except CoscribeError as error:
            return error
        return place.document_version

    async def _state_behind(self, taking: Taking, version: int) -> State:
        """What the disk shows, now that it is an operation; ``version``: of the text right behind that."""
        engine, base, digest = self._place.engine, taking.base, content_hash(taking.text).hex()
        if version == base.version + bool(taking.edits) and not base.bridge:
            return State(version, digest, by_disk=True)  # nobody did anything meanwhile
        try:
            since = await engine.operations(taking.file_id, base.version, version, f"{taking.series}:1")
            at = await engine.text(taking.file_id, version)
        except CoscribeError as error:
            if error.code in MAY_BE_LATER:
                raise
            # The process died behind it, and the log does not go back so far any more: it leads to what there is now.
            now = await engine.text(taking.file_id)
            edits = await in_thread(_edits_between, taking.text, now.text)
            return State(now.version, digest, edits, None, True, taking.text if edits else None)
        choice = Choice(base, taking.base_text, from_edits(taking.edits))
        bridge = await in_thread(bridged, choice, taking.text, since, at.text)
        return State(version, digest, bridge, None, True, taking.text if bridge else None)

    async def _record(self, done: Sequence[tuple[Taking, int]]) -> None:
        shown = [(taking, await self._state_behind(taking, version)) for taking, version in done]
        if shown:
            self.stale.update(taking.file_id for taking, _ in shown)
            await in_thread(self._note, shown)

    def _announce(self, takings: Sequence[Taking]) -> None:
        with self._place.record.writing():
            for taking in takings:
                self._place.record.announce_taking(taking)

    def _drop(self, takings: Sequence[Taking]) -> None:
        with self._place.record.writing():
            for taking in takings:
                self._place.record.finish_taking(taking.series)

    def _note(self, shown: Sequence[tuple[Taking, State]]) -> None:
        """What is in the tree shows it now; what was displaced showed it until now."""
        record, now = self._place.record, self._place.clock()
        with record.writing():
            for taking, state in shown:
                record.finish_taking(taking.series)
                states = record.states.get(taking.file_id, [])
                if taking.displaced is not None:
                    shown_there = followed(taking.displaced.states, state, now)
                    record.watch(taking.displaced._replace(states=shown_there))
                    if states:
                        record.show(taking.file_id, kept([*states[:-1], state._replace(until=now), states[-1]], now))
                elif taking.node is not None:
                    record.put(taking.node)
                    record.show(taking.file_id, followed(states, state, now))


def _edits_between(old: str, new: str) -> Edits:
    return tuple(to_edits(difference(old, new))) if old != new else ()
