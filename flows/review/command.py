"""What `nonesuch review` does: serves the page, and moves decisions in and out."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

from flows.catalog import open_catalog
from flows.decisions import open_existing_store, open_store, store_url
from flows.review.pipeline import CatalogPipeline
from flows.settings import DatasetConfig
from review_ui.desk import open_desk
from review_ui.errors import ExchangeError
from review_ui.serve import check_access
from review_ui.serve import serve as serve_desk
from review_ui.store import exchange
from review_ui.store.backup import back_up as copy_store
from review_ui.store.database import open_database


def new_tokens() -> str:
    """Make tokens, as they are written into the configuration."""
    return (
        "[review]\n"
        f'token = "{secrets.token_urlsafe(24)}"  # reviewers log in with it\n'
        f'admin_token = "{secrets.token_urlsafe(24)}"  # these may publish, train and import too'
    )


def listening_at(config: DatasetConfig, host: str, port: int | None) -> DatasetConfig:
    """Give the configuration with host and port of the command line, where they are given."""
    asked: dict[str, Any] = {}
    if host:
        asked["host"] = host
    if port is not None:
        asked["port"] = port
    return config.model_copy(update={"review": config.review.model_copy(update=asked)})


def serve(
    config: DatasetConfig, file: Path, say: Callable[[str, str], None], *, in_private: bool
) -> None:
    """Serve the page until it is told to stop.

    Parameters
    ----------
    file
        That the configuration comes from.
    say
        Told where the page is: its address, and the words for people.
    in_private
        Whether what is said is seen by who started it and by nobody else: then the link logs in.
    """
    check_access(config.review)
    database = open_database(store_url(config))
    pipeline = CatalogPipeline(config, file)
    desk = open_desk(config.dataset.name, config.review, open_catalog(config), database, pipeline)
    # The server ends by these in good order; afterwards it sends them on.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.closing(pipeline), contextlib.closing(desk):
        serve_desk(desk, lambda at: say(at, greeting(config, at, in_private)))


def greeting(config: DatasetConfig, address: str, in_private: bool) -> str:
    """Say where a page is, to who has started it."""
    token = config.review.admin_token
    start = f"{config.dataset.name}: {address}"
    if token is None:
        return f"{start} (Ctrl-C stops)"
    if in_private:
        return f"{start}login#token={token.get_secret_value()} (Ctrl-C stops)"
    return f"{start} (log in with `review.admin_token` of the configuration; Ctrl-C stops)"


def back_up(config: DatasetConfig, target: Path) -> dict[str, Any]:
    """Copy the decisions to a file."""
    with open_existing_store(config) as database:
        return {"backup": str(target), "bytes": copy_store(database, target)}


def export_to(config: DatasetConfig, target: Path) -> dict[str, Any]:
    """Write the decisions that hold to a .csv or .jsonl file; it appears whole or not at all."""
    form = _form(target)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    count = 0
    try:
        with open_existing_store(config) as database, database.reading() as connection:
            with partial.open("w", encoding="utf-8", newline="") as file:
                for piece in exchange.export(connection, form, whole_history=False):
                    file.write(piece)
            count = exchange.decided(connection)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return {"file": str(target), "decisions": count}


def import_from(config: DatasetConfig, file: Path, reviewer: str) -> dict[str, Any]:
    """Take in a .csv or .jsonl file of decisions; lines that cannot be read are named."""
    form = _form(file)
    importer = exchange.reviewer_of(reviewer)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExchangeError(f"{file} is not UTF-8: {error}; save it as UTF-8") from error
    decisions, report = exchange.parse(text, form)
    with open_store(config) as database:
        report.add(exchange.take_in_all(database, decisions, importer))
    errors = [f"line {problem.line}: {problem.message}" for problem in report.errors]
    return {**asdict(report), "errors": errors}


def _form(file: Path) -> Literal["csv", "jsonl"]:
    form = file.suffix.lower().removeprefix(".")
    if form not in ("csv", "jsonl"):
        raise ExchangeError(f"{file} must end in .csv or .jsonl")
    return cast('Literal["csv", "jsonl"]', form)
