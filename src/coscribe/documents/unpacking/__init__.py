"""Archives that people send, taken apart: zip, tar, tar.gz. Nothing in one is believed.

    archive --one entry after the other--> Intake: judged, its bytes behind those of the others in one file --> NewFile

No name of an archive is ever a name on the disk: contents lie one behind the other in a single file that has no name
itself, and is gone when it is closed, also by a crash. The whole archive is looked at before any of it is used, so one
that is refused has left nothing. The same archive gives the same files in the same order: an import that was cut off
goes on where it was.

An archive in an archive stays one file; so one that contains itself is nothing special.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from coscribe.documents.unpacking.intake import Bounds, Intake, refusal
from coscribe.documents.unpacking.tars import read_tar
from coscribe.documents.unpacking.zips import read_zip

_BLOCK = 512
_USTAR = slice(257, 262)


def unpack(archive: BinaryIO, folder: Path, bounds: Bounds = Bounds(), *, folds_case: bool = False) -> Intake:  # noqa: B008
    """What is in an archive, all of it good. ``folder``: for the contents. Whoever gets it closes it.

    Errors: ``import_refused``. OSError: the disk.
    """
    size = archive.seek(0, 2)
    if size > bounds.packed_bytes:
        raise refusal("packed_bytes", f"{size} bytes, at most {bounds.packed_bytes}")
    archive.seek(0)
    head = archive.read(_BLOCK)
    archive.seek(0)
    intake = Intake(folder, bounds, packed=size, folds_case=folds_case)
    try:
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            read_zip(archive, size, intake)
        elif head.startswith(b"\x1f\x8b"):
            read_tar(archive, intake, is_squeezed=True)
        elif head[_USTAR] == b"ustar":
            read_tar(archive, intake, is_squeezed=False)
        else:
            raise refusal("unknown")
        intake.end()
    except BaseException:
        intake.close()
        raise
    return intake
