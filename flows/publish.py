"""Freeze what is accepted into a version that training consumes."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel

from data_catalog.errors import CatalogError
from flows import tasks
from flows.catalog import open_catalog
from flows.settings import DatasetConfig


class PublishSummary(BaseModel):
    """A published version: its number, content hash, counts and folder."""

    version: int
    hash: str
    items: int
    shards: int
    path: str


@flow(name="publish", flow_run_name="publish {config.dataset.name}")
def publish(config: DatasetConfig) -> PublishSummary:
    """Judge once more, so that the latest decisions count, and publish what is accepted."""
    with open_catalog(config).lock("publish"):
        selection = tasks.select_items(config)
        missing = sum(part.num_rows for part in tasks.find_pending(config, selection))
        if missing:
            raise CatalogError(
                f"{missing} images are not standardized by this recipe yet; "
                "run `nonesuch rebuild` first"
            )
        tasks.take_decisions(config)
        build = tasks.judge_items(config, selection)
        version = tasks.publish_version(config, selection, build)
    summary = PublishSummary(
        version=version.version,
        hash=version.hash,
        items=version.items,
        shards=version.shards,
        path=version.path,
    )
    text = f"Version {summary.version}: {summary.items:,} items in {summary.shards} shards"
    create_markdown_artifact(key="published-version", markdown=f"{text}\n\n`{summary.path}`")
    return summary
