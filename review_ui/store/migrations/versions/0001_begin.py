"""The tables that the review page began with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "build",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("build_id", sa.Text(), nullable=False),
        sa.Column("built_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("progressed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_build")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cluster",
        sa.Column("build", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("badness", sa.Float(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("build", "reason", "key", name=op.f("pk_cluster")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_cluster_build_reason_settled_badness_key"),
        "cluster",
        ["build", "reason", "settled", "badness", "key"],
        unique=False,
    )
    op.create_table(
        "decision_event",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("batch", sa.String(length=36), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("base", sa.String(length=36), nullable=True),
        sa.Column("undoes", sa.String(length=36), nullable=True),
        sa.Column("client_ms", sa.Integer(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_decision_event")),
        sa.UniqueConstraint("uuid", name=op.f("uq_decision_event_uuid")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_decision_event_batch"), "decision_event", ["batch"], unique=False)
    op.create_index(
        op.f("ix_decision_event_item_id_seq"), "decision_event", ["item_id", "seq"], unique=False
    )
    op.create_index(
        op.f("ix_decision_event_reviewer_seq"), "decision_event", ["reviewer", "seq"], unique=False
    )
    op.create_table(
        "facet",
        sa.Column("build", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("build", "kind", "value", name=op.f("pk_facet")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "item_state",
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("head", sa.String(length=36), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("pixels", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_item_state")),
    )
    op.create_index(op.f("ix_item_state_pixels"), "item_state", ["pixels"], unique=False)
    op.create_table(
        "lease",
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_lease")),
    )
    op.create_index(op.f("ix_lease_until"), "lease", ["until"], unique=False)
    op.create_table(
        "queue_count",
        sa.Column("build", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("unsettled", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("build", "reason", name=op.f("pk_queue_count")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "queue_entry",
        sa.Column("item", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("build", sa.Integer(), nullable=False),
        sa.Column("standing", sa.String(length=10), nullable=False),
        sa.Column("badness", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("item", "reason", name=op.f("pk_queue_entry")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_queue_entry_build_reason_standing_badness_item"),
        "queue_entry",
        ["build", "reason", "standing", "badness", "item"],
        unique=False,
    )
    op.create_table(
        "review_item",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("build", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.String(length=10), nullable=False),
        sa.Column("standing", sa.String(length=10), nullable=False),
        sa.Column("decided", sa.Boolean(), nullable=False),
        sa.Column("follows", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("given_tags", sa.Text(), nullable=False),
        sa.Column("locator", sa.Text(), nullable=True),
        sa.Column("page", sa.Text(), nullable=True),
        sa.Column("observed_at", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ratio", sa.Float(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("pixels", sa.Text(), nullable=True),
        sa.Column("phash", sa.BigInteger(), nullable=True),
        sa.Column("duplicate", sa.Text(), nullable=True),
        sa.Column("relation", sa.Text(), nullable=True),
        sa.Column("distance", sa.Float(), nullable=True),
        sa.Column("colourway", sa.Text(), nullable=True),
        sa.Column("colourway_rank", sa.Integer(), nullable=True),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("raw_pack", sa.Text(), nullable=False),
        sa.Column("raw_offset", sa.BigInteger(), nullable=False),
        sa.Column("raw_length", sa.BigInteger(), nullable=False),
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("thumb_offset", sa.BigInteger(), nullable=False),
        sa.Column("thumb_length", sa.BigInteger(), nullable=False),
        sa.Column("standard_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_item")),
    )
    op.create_index(
        op.f("ix_review_item_build_colourway"),
        "review_item",
        ["build", "colourway"],
        unique=False,
        sqlite_where=sa.text("colourway IS NOT NULL"),
        postgresql_where=sa.text("colourway IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_review_item_build_duplicate"),
        "review_item",
        ["build", "duplicate"],
        unique=False,
        sqlite_where=sa.text("duplicate IS NOT NULL"),
        postgresql_where=sa.text("duplicate IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_review_item_build_item_id"), "review_item", ["build", "item_id"], unique=True
    )
    op.create_index(
        op.f("ix_review_item_build_pixels"),
        "review_item",
        ["build", "pixels"],
        unique=False,
        sqlite_where=sa.text("pixels IS NOT NULL"),
        postgresql_where=sa.text("pixels IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_review_item_build_standing_id"),
        "review_item",
        ["build", "standing", "id"],
        unique=False,
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
    )
    op.create_table(
        "tag",
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("value", name=op.f("pk_tag")),
    )
