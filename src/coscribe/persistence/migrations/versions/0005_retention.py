"""retention

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention",
        sa.Column(
            "workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column(
            "days", sa.Integer(), nullable=True, comment="of history that are kept; 0: all, none: as the settings say"
        ),
        sa.Column(
            "hold_reason", sa.String(length=500), nullable=True, comment="why nothing may be deleted; none: it may"
        ),
        sa.Column("held_by", sa.String(length=128), nullable=True),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_key"], ["workspaces.workspace_key"], name=op.f("fk_retention_workspace_key")
        ),
        sa.PrimaryKeyConstraint("workspace_key", name=op.f("pk_retention")),
    )
    op.create_table(
        "checkpoint_files",
        sa.Column(
            "file_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "horizon", sa.BigInteger(), nullable=False, comment="ids of entries at versions below it may be forgotten"
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="UTF-8"),
        sa.Column("content_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("attribution", sa.LargeBinary(), nullable=False, comment="who wrote what of the content"),
        sa.ForeignKeyConstraint(
            ["workspace_key"],
            ["heads.workspace_key"],
            name=op.f("fk_checkpoint_files_workspace_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("file_key", name=op.f("pk_checkpoint_files")),
    )
    op.create_index(op.f("ix_checkpoint_files_workspace_key"), "checkpoint_files", ["workspace_key"])
    op.create_table(
        "log_checkpoints",
        sa.Column(
            "workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="of the last pruned entry"),
        sa.Column("chain_hash", sa.LargeBinary(length=32), nullable=False, comment="digest of that entry"),
        sa.Column("last_time", sa.BigInteger(), nullable=False, comment="time of that entry"),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_key"],
            ["heads.workspace_key"],
            name=op.f("fk_log_checkpoints_workspace_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_key", name=op.f("pk_log_checkpoints")),
    )
