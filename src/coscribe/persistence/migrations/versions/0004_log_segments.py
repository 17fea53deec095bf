"""log_segments

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_segments",
        sa.Column(
            "segment_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(length=32), nullable=False, comment="digest of its last entry"),
        sa.Column("format", sa.Integer(), nullable=False, comment="how the content is packed"),
        sa.Column(
            "checksum", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 over place, chain hash and content"
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_key"], ["heads.workspace_key"], name=op.f("fk_log_segments_workspace_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("segment_key", name=op.f("pk_log_segments")),
        sa.UniqueConstraint("workspace_key", "last_sequence", name=op.f("uq_log_segments_workspace_key_last_sequence")),
    )
    op.create_table(
        "operation_runs",
        sa.Column(
            "workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("series", sa.String(length=128), nullable=False),
        sa.Column("last_counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "first_counter", sa.BigInteger(), nullable=False, comment="it and all up to the last are in the segment"
        ),
        sa.Column("segment_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_key"], ["heads.workspace_key"], name=op.f("fk_operation_runs_workspace_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_key", "series", "last_counter", name=op.f("pk_operation_runs")),
        sqlite_with_rowid=False,
    )
