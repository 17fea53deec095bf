"""segment_files

Revision 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

from coscribe.persistence.segments import ZLIB, FilePart, Packed, files_of, unpack

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_files",
        sa.Column(
            "segment_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column(
            "file_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("first_version", sa.BigInteger(), nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column(
            "first_sequence", sa.BigInteger(), nullable=False, comment="of the file's first entry in the segment"
        ),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["segment_key"],
            ["log_segments.segment_key"],
            name=op.f("fk_segment_files_segment_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_key", "file_key", name=op.f("pk_segment_files")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_segment_files_file_key_last_sequence", "segment_files", ["file_key", "last_sequence"])
    _list_trees()


def _list_trees() -> None:
    """What the segments of trees hold. Documents need no list, and only they have had long logs until now: so this is
    done at once, and nobody has to ask whether it has been."""
    db = op.get_bind()
    segments = db.execute(
        sa.text(
            f"SELECT segment_key, {', '.join(f'log_segments.{name}' for name in Packed._fields)} FROM log_segments"
            " JOIN workspaces USING (workspace_key) WHERE kind = 'workspace' AND format = :format"
        ),
        {"format": ZLIB},
    )
    for segment_key, *packed in segments.yield_per(1):
        for part in _parts(db, Packed(*packed)):
            db.execute(
                sa.text(
                    "INSERT INTO segment_files"
                    " (segment_key, file_key, first_version, last_version, first_sequence, last_sequence)"
                    " VALUES (:s, :f, :v, :w, :a, :b)"
                ),
                dict(zip("sfvwab", (segment_key, *part), strict=True)),
            )


def _parts(db: sa.Connection, segment: Packed) -> list[FilePart]:
    """One that is damaged may hold anything: whoever reads any file then comes upon it, as before."""
    try:
        return files_of(unpack(segment))
    except ValueError:
        keys = db.execute(
            sa.text("SELECT file_key FROM files WHERE workspace_key = :key"), {"key": segment.workspace_key}
        )
        place = segment.first_sequence, segment.last_sequence
        return [FilePart(file_key, 0, segment.last_sequence, *place) for (file_key,) in keys.all()]
