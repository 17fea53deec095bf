"""mounts

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column(
            "mounted",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="it is kept as files on the server's disk",
        ),
    )


def downgrade() -> None:
    op.drop_column("workspaces", "mounted")
