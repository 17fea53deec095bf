"""stored_blobs

Revision 0018, after 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stored_blobs",
        sa.Column("blob_key", _KEY, autoincrement=True, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=True, comment="SHA-256 in hex; none: it is being written"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column(
            "put_by",
            sa.String(length=64),
            nullable=False,
            comment="the only process that has put it; empty: there are several",
        ),
        sa.Column("stored_at", sa.BigInteger(), nullable=False, comment="by the clock of the database"),
        sa.Column(
            "unwanted",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="it goes when nobody may name it",
        ),
        sa.PrimaryKeyConstraint("blob_key", name=op.f("pk_stored_blobs")),
        sa.UniqueConstraint("hash", name=op.f("uq_stored_blobs_hash")),
    )
    op.create_table(
        "blob_pieces",
        sa.Column("blob_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_key"], ["stored_blobs.blob_key"], name=op.f("fk_blob_pieces_blob_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_key", "start", name=op.f("pk_blob_pieces")),
    )
    if op.get_bind().dialect.name == "postgresql":  # most of it is compressed already
        op.execute("ALTER TABLE blob_pieces ALTER COLUMN content SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("blob_pieces")
    op.drop_table("stored_blobs")
