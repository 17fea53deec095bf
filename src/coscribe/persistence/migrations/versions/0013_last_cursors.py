"""last_cursors

Revision 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "last_cursors",
        sa.Column("author_ref", _KEY, autoincrement=False, nullable=False),
        sa.Column("file_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="of the text that the positions are in"),
        sa.Column("anchor", sa.BigInteger(), nullable=False, comment="code points"),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False, comment="microseconds since 1970, UTC"),
        sa.ForeignKeyConstraint(
            ["file_key"], ["files.file_key"], name=op.f("fk_last_cursors_file_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("author_ref", "file_key", name=op.f("pk_last_cursors")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_last_cursors_author_ref_moved_at", "last_cursors", ["author_ref", "moved_at"])
    op.create_index("ix_last_cursors_file_key_moved_at", "last_cursors", ["file_key", "moved_at"])


def downgrade() -> None:
    op.drop_table("last_cursors")
