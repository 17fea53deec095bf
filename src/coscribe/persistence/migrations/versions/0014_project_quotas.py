"""project_quotas

Revision 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    bytes_of = {"projects": "none: as the settings say", "workspaces": "narrows that of the project; none: it does not"}
    for table, comment in bytes_of.items():
        op.add_column(table, sa.Column("quota_bytes", sa.BigInteger(), nullable=True, comment=comment))
        op.add_column(table, sa.Column("quota_files", sa.Integer(), nullable=True))


def downgrade() -> None:
    for table in ("workspaces", "projects"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("quota_files")
            batch.drop_column("quota_bytes")
