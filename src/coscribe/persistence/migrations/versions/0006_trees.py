"""trees

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column(
            "folds_case",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="names that differ in case are one",
        ),
    )
    op.add_column(
        "heads",
        sa.Column(
            "covered_sequence",
            sa.BigInteger(),
            nullable=True,
            comment="every file has a snapshot with all of it up to here",
        ),
    )
    op.add_column(
        "file_snapshots",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True, comment="of the entry at that sequence"),
    )
    for column in (
        sa.Column("parent_id", sa.String(length=128), nullable=True, comment="of a node of a tree; empty: at the top"),
        sa.Column("name", sa.String(length=256), server_default="", nullable=False),
        sa.Column(
            "kind",
            sa.String(length=16),
            server_default="text",
            nullable=False,
            comment="directory, text, binary, symlink",
        ),
        sa.Column("trashed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column(
            "purged",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="the log may name it; nothing else does",
        ),
        sa.Column(
            "content", sa.Text(), server_default="", nullable=False, comment="SHA-256 of a binary, target of a link"
        ),
        sa.Column("properties", sa.Text(), server_default="{}", nullable=False, comment="JSON"),
        sa.Column(
            "saved_sequence",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="of the newest snapshot there was",
        ),
    ):
        op.add_column("files", column)
