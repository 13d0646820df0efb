"""Alembic's entry: runs the migrations on the connection that it is handed."""

from __future__ import annotations

from alembic import context

from review_ui.store.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter a table; Alembic then makes a new one and copies.
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
