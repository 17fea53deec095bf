"""projects

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column(
            "project_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("project_id", sa.String(length=128), nullable=False, comment="that of its workspace"),
        sa.Column("source", sa.String(length=16), nullable=False, comment="blank, upload, repository"),
        sa.Column(
            "address",
            sa.String(length=2048),
            server_default="",
            nullable=False,
            comment="of a repository, without secrets",
        ),
        sa.Column("import_state", sa.String(length=16), nullable=False, comment="pending, running, failed, ready"),
        sa.Column(
            "import_code", sa.String(length=64), server_default="", nullable=False, comment="of the error that ended it"
        ),
        sa.Column("import_detail", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("import_done", sa.BigInteger(), server_default="0", nullable=False, comment="files that are made"),
        sa.Column("import_total", sa.BigInteger(), nullable=True, comment="null: not known yet"),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_key", name=op.f("pk_projects")),
        sa.UniqueConstraint("project_id", name=op.f("uq_projects_project_id")),
    )
    op.create_table(
        "project_members",
        sa.Column(
            "project_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("member_kind", sa.String(length=16), nullable=False, comment="user or group"),
        sa.Column("member_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False, comment="owner, editor, viewer"),
        sa.Column("added_by", sa.String(length=64), nullable=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_key"], ["projects.project_key"], name=op.f("fk_project_members_project_key")),
        sa.PrimaryKeyConstraint("project_key", "member_kind", "member_id", name=op.f("pk_project_members")),
    )
    op.create_index("ix_project_members_member_id", "project_members", ["member_id"])
    op.create_table(
        "project_rules",
        sa.Column("rule_id", sa.String(length=64), nullable=False),
        sa.Column("project_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="the last rule that fits decides"),
        sa.Column("member_kind", sa.String(length=16), nullable=False, comment="user, group, role or everyone"),
        sa.Column("member_id", sa.String(length=64), nullable=False),
        sa.Column("pattern", sa.String(length=512), nullable=False),
        sa.Column("access", sa.String(length=16), nullable=False, comment="none, read, write"),
        sa.ForeignKeyConstraint(["project_key"], ["projects.project_key"], name=op.f("fk_project_rules_project_key")),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_project_rules")),
    )
    op.create_index(op.f("ix_project_rules_project_key"), "project_rules", ["project_key"])
    op.add_column(
        "workspaces",
        sa.Column(
            "project_key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="of the project whose workspace it is",
        ),
    )
    op.create_index(
        "ix_workspaces_project_key", "workspaces", ["project_key"], sqlite_where=sa.text("project_key IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_workspaces_project_key", "workspaces")
    op.drop_column("workspaces", "project_key")
    op.drop_table("project_rules")
    op.drop_table("project_members")
    op.drop_table("projects")
