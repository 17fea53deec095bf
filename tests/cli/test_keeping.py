"""What `coscribe audit keep` does with what a server says that nobody has reason to trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from coscribe.cli.keeping import keep_newer
from coscribe.documents.proofs import AuditCheckpoint


def said() -> dict[str, Any]:
    """A checkpoint, of which only the form counts here."""
    fields = msgspec.structs.fields(AuditCheckpoint)
    return {field.encode_name: 1 if field.type is int else "7" for field in fields}


@pytest.mark.parametrize("document_id", ["../elsewhere", "a/b", "..", "", ".hidden", "a\0b"])
def test_a_name_that_leads_out_of_the_folder(tmp_path: Path, document_id: str) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    with pytest.raises(typer.Exit):
        keep_newer(folder, {"documentId": document_id, "name": "Plan"}, [said()])
    assert list(tmp_path.rglob("*")) == [folder]


def test_one_that_does_not(tmp_path: Path) -> None:
    held = keep_newer(tmp_path, {"documentId": "doc_1", "name": "Plan"}, [said()])
    assert (held.new, [path.name for path in tmp_path.iterdir()]) == (1, ["doc_1.checkpoints"])
