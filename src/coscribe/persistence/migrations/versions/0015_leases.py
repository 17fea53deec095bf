"""leases

Revision 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "instances",
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("is_core", sa.Boolean(), nullable=False),
        sa.Column("leaving", sa.Boolean(), nullable=False),
        sa.Column(
            "alive_until", sa.BigInteger(), nullable=False, comment="by the database's own clock; 0: it has signed off"
        ),
        sa.Column("calls", sa.BigInteger(), nullable=False, comment="the last call of it that happened"),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_instances")),
    )
    op.create_table(
        "shard_leases",
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False, comment="an instance, which counts while it has its row"),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_shard_leases")),
    )
    op.create_table(
        "workspace_pins",
        sa.Column("workspace_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False, comment="of an instance; empty: it goes back to its shard"),
        sa.Column("owner", sa.String(64), server_default="", nullable=False, comment="as of a shard; empty: nobody"),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspace_pins")),
    )


def downgrade() -> None:
    op.drop_table("workspace_pins")
    op.drop_table("shard_leases")
    op.drop_table("instances")
