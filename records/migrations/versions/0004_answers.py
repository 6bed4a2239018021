"""answers that may be given again, and what is said of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_feedback",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "run_id", "principal"),
    )
    with op.batch_alter_table("documents", schema=None) as batch_op:
        batch_op.add_column(sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "cache_entries",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("collection", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("asked", sa.String(length=64), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("indexed", sa.String(length=64), server_default="", nullable=False),
        sa.Column("times_right", sa.Integer(), server_default="0", nullable=False),
        sa.Column("times_wrong", sa.Integer(), server_default="0", nullable=False),
        sa.Column("least", sa.Float(), server_default="0", nullable=False),
        sa.Column("hits", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worth", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_reason", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    with op.batch_alter_table("cache_entries", schema=None) as batch_op:
        batch_op.create_index("cache_entries_by_question", ["tenant", "scope", "asked"], unique=True)
        batch_op.create_index("cache_entries_by_worth", ["tenant", "worth"], unique=False)
        batch_op.create_index("cache_entries_by_index", ["indexed", "tenant"], unique=False)
        batch_op.create_index("cache_entries_by_time", ["created_at", "tenant"], unique=False)
    op.create_table(
        "cache_sources",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("document_id", sa.String(length=64), nullable=False),
        sa.Column("entry_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "document_id", "entry_id"),
    )
    with op.batch_alter_table("cache_sources", schema=None) as batch_op:
        batch_op.create_index("cache_sources_by_entry", ["tenant", "entry_id"], unique=False)
    op.create_table(
        "cache_gone",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("entry_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entry_id"),
    )
    op.create_table(
        "cache_experience",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("learnt", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model"),
    )


def downgrade() -> None:
    for table in ("cache_experience", "cache_gone", "cache_sources", "cache_entries"):
        op.drop_table(table)
    with op.batch_alter_table("documents", schema=None) as batch_op:
        batch_op.drop_column("revision")
    op.drop_table("run_feedback")
