"""cut_off

Revision 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "instances",
        sa.Column("cut_off", sa.Boolean(), server_default=sa.false(), nullable=False, comment="from the bus"),
    )
    op.add_column(
        "instances",
        sa.Column(
            "cut_off_at",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="when that changed, by that clock",
        ),
    )


def downgrade() -> None:
    with op.batch_alter_table("instances") as batch:
        batch.drop_column("cut_off_at")
        batch.drop_column("cut_off")
