"""moves

Revision 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "moves",
        sa.Column("move_id", sa.String(length=64), nullable=False),
        sa.Column(
            "side", sa.String(length=16), nullable=False, comment="what this database is in it: source or target"
        ),
        sa.Column("place", sa.String(length=1024), nullable=False, comment="of the other one, for people"),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True, comment="of a target: of all that is moved"),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("move_id", name=op.f("pk_moves")),
    )


def downgrade() -> None:
    op.drop_table("moves")
