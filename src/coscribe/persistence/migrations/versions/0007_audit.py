"""audit

Revision 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_changes",
        sa.Column("key_id", sa.String(length=64), nullable=False, comment="of the key that signs from then on"),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON, signed by both keys"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_key_changes")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column(
            "workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON: all of it, with its signature"),
        sa.ForeignKeyConstraint(
            ["workspace_key"], ["workspaces.workspace_key"], name=op.f("fk_audit_checkpoints_workspace_key")
        ),
        sa.PrimaryKeyConstraint("workspace_key", "number", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "redactions",
        sa.Column("redaction_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "content",
            sa.Text(),
            nullable=False,
            comment="JSON, signed: what was taken out of which entries, but the text",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_key"], ["workspaces.workspace_key"], name=op.f("fk_redactions_workspace_key")
        ),
        sa.PrimaryKeyConstraint("redaction_id", name=op.f("pk_redactions")),
    )
    op.create_index(op.f("ix_redactions_workspace_key"), "redactions", ["workspace_key"])
