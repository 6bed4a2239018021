"""long-term memory: records, their versions, what each came from, snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_clocks",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "memory_records",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False),
        sa.Column("subject_type", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("indexed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forgotten_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    behind = sa.text("indexed <> head")
    with op.batch_alter_table("memory_records", schema=None) as batch_op:
        batch_op.create_index("memory_records_by_subject", ["tenant", "subject_type", "subject", "id"], unique=False)
        batch_op.create_index(
            "memory_records_unindexed", ["tenant", "id"], unique=False, postgresql_where=behind, sqlite_where=behind
        )
    op.create_table(
        "memory_versions",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("slot", sa.String(length=128), nullable=True),
        sa.Column("trust", sa.String(length=16), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=True),
        sa.Column("message_id", sa.String(length=64), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acl", sa.JSON(), nullable=False),
        sa.Column("readers", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("change", sa.String(length=16), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.Column("changed_run", sa.String(length=36), nullable=True),
        sa.Column("operation", sa.String(length=36), nullable=False),
        sa.Column("restores", sa.Integer(), nullable=True),
        sa.Column("supersedes", sa.JSON(), nullable=False),
        sa.Column("superseded_by", sa.String(length=600), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "record_id", "version"),
    )
    with op.batch_alter_table("memory_versions", schema=None) as batch_op:
        batch_op.create_index("memory_versions_by_seq", ["tenant", "seq"], unique=True)
        batch_op.create_index("memory_versions_by_fingerprint", ["tenant", "fingerprint"], unique=False)
        batch_op.create_index("memory_versions_by_slot", ["tenant", "slot"], unique=False)
    op.create_table(
        "memory_sources",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "record_id", "version"),
    )
    with op.batch_alter_table("memory_sources", schema=None) as batch_op:
        batch_op.create_index("memory_sources_by_record", ["tenant", "record_id"], unique=False)
    op.create_table(
        "memory_snapshots",
        sa.Column("tenant", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("taken_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )


def downgrade() -> None:
    for table in ("memory_snapshots", "memory_sources", "memory_versions", "memory_records", "memory_clocks"):
        op.drop_table(table)
