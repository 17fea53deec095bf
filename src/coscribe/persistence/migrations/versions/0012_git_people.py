"""git_people

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "git_credentials",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="https or ssh"),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="AES-GCM with a key derived from the server's secret",
        ),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_git_credentials_user_id")),
        sa.PrimaryKeyConstraint("user_id", "host", "kind", name=op.f("pk_git_credentials")),
    )
    op.create_table(
        "git_identities",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column(
            "email",
            sa.String(length=320),
            nullable=False,
            comment="it is in every commit: whoever gets one reads it",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_git_identities_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_git_identities")),
    )


def downgrade() -> None:
    op.drop_table("git_identities")
    op.drop_table("git_credentials")
