"""The authoritative text: cheap splices in a long text.

A Python ``str`` is copied whole by every edit: 1 MB costs tens of microseconds, and with one emoji in it (four bytes
a code point) far more. So a text beyond `WHOLE` code points is kept as a list of chunks of about `CHUNK`, and an edit
copies one chunk. Edits cluster, so the chunk of the last edit is looked at first; from there the walk goes either
way over chunk lengths.
"""

from __future__ import annotations

from coscribe.core.operation import Delete, Operation, Splice

WHOLE = 24_576
CHUNK = 8_192


class TextBuffer:
    """Text of ``len(buffer)`` code points. Positions and counts are code points; ranges are the caller's to check."""

    __slots__ = ("_chunks", "_hint", "_hint_start", "_length")

    def __init__(self, text: str = "") -> None:
        self._chunks: list[str] = [text]
        self._length = len(text)
        self._hint = 0
        self._hint_start = 0
        if len(text) > WHOLE:
            self._split(0)

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        chunks = self._chunks
        return chunks[0] if len(chunks) == 1 else "".join(chunks)

    def splice(self, position: int, deleted: int, inserted: str) -> str:
        """Insert at ``position``, drop the ``deleted`` code points after it; returns what was dropped."""
        assert position >= 0 and position + deleted <= self._length
        index, start = self._find(position)
        chunk = self._chunks[index]
        offset = position - start
        self._length += len(inserted) - deleted
        if offset + deleted <= len(chunk):
            removed = chunk[offset : offset + deleted]
            chunk = chunk[:offset] + inserted + chunk[offset + deleted :]
            self._chunks[index] = chunk
        else:
            removed = self._splice_across(index, offset, deleted, inserted)
            chunk = self._chunks[index]
        if len(chunk) > WHOLE or (len(chunk) > 2 * CHUNK and len(self._chunks) > 1):
            self._split(index)
        elif not chunk and len(self._chunks) > 1:
            del self._chunks[index]
            self._hint = self._hint_start = 0
        return removed

    def apply(self, operation: Operation) -> str:
        """Applies an operation that fits; returns all the text it deleted, in order."""
        if isinstance(operation, Splice):
            return self.splice(operation.position, operation.deleted, operation.inserted)
        removed: list[str] = []
        position = 0
        for part in operation:
            if isinstance(part, str):
                self.splice(position, 0, part)
                position += len(part)
            elif isinstance(part, Delete):
                removed.append(self.splice(position, part.size, ""))
            else:
                position += part
        return "".join(removed)

    def _find(self, position: int) -> tuple[int, int]:
        """The chunk that holds ``position`` (or ends there), and where it starts."""
        chunks = self._chunks
        if len(chunks) == 1:
            return 0, 0
        index, start = self._hint, self._hint_start
        while position < start:
            index -= 1
            start -= len(chunks[index])
        while position > start + len(chunks[index]):
            start += len(chunks[index])
            index += 1
        self._hint, self._hint_start = index, start
        return index, start

    def _splice_across(self, index: int, offset: int, deleted: int, inserted: str) -> str:
        """A delete that runs over chunk borders: everything goes into the first chunk, emptied ones leave."""
        chunks = self._chunks
        first = chunks[index]
        removed = [first[offset:]]
        wanted = deleted - len(removed[0])
        after = index + 1
        while wanted >= len(chunks[after]):
            removed.append(chunks[after])
            wanted -= len(chunks[after])
            after += 1
            if not wanted:
                break
        if wanted:
            removed.append(chunks[after][:wanted])
            chunks[after] = chunks[after][wanted:]
        chunks[index] = first[:offset] + inserted
        del chunks[index + 1 : after]
        return "".join(removed)

    def _split(self, index: int) -> None:
        chunk = self._chunks[index]
        self._chunks[index : index + 1] = [chunk[i : i + CHUNK] for i in range(0, len(chunk), CHUNK)]
        self._hint = self._hint_start = 0
