"""blobs

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_blobs",
        sa.Column(
            "workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column(
            "hash", sa.String(length=64), nullable=False, comment="SHA-256 in hex: its name in the folder of blobs"
        ),
        sa.Column(
            "file_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="whose content it is, or was",
        ),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_key"],
            ["heads.workspace_key"],
            name=op.f("fk_file_blobs_workspace_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_key", "hash", "file_key", name=op.f("pk_file_blobs")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_file_blobs_hash", "file_blobs", ["hash"])
