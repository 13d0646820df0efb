"""The main job: pictures in, a judged catalog and its report out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from uuid import UUID

import pyarrow as pa
from prefect import flow
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from pydantic import BaseModel

from curation.errors import SourceError
from curation.ingest.stage import IngestCounts
from curation.stages.standardize import PartitionCounts
from data_catalog.versions import REPORT
from flows import tasks
from flows.catalog import open_catalog
from flows.settings import DatasetConfig


class RebuildSummary(BaseModel):
    """What a rebuild came to. accepted + flagged + rejected + failed = items.

    Attributes
    ----------
    seen : int
        Offered by the sources.
    items : int
        Distinct items.
    new : int
        Images stored by this run.
    standardized : int
        Images decoded, measured and standardized by this run.
    reasons : dict
        Items by reason; an item may have several.
    seconds : float
        Wall time of the flow.
    build : str
        Id of the build: the same inputs, config and code give the same.
    """

    seen: int
    items: int
    new: int
    standardized: int
    accepted: int
    flagged: int
    rejected: int
    failed: int
    reasons: dict[str, int]
    seconds: float
    build: str


@flow(name="rebuild", flow_run_name="rebuild {config.dataset.name}")
def rebuild(config: DatasetConfig) -> RebuildSummary:
    """Bring the catalog up to date with the sources; return what there is now.

    Raises
    ------
    SourceError
        If sources failed. The others were taken in, and everything was judged, before.
    """
    began = time.perf_counter()
    catalog = open_catalog(config)
    with catalog.lock("rebuild"):
        ingested, broken = ingest_all(config)
        if broken and not ingested:
            raise together(broken)
        selection = tasks.select_items(config)
        parts = tasks.find_pending(config, selection)
        done = standardize_all(config, parts)
        tasks.take_decisions(config)
        build = tasks.judge_items(config, selection)
        if done or any(counts.new for counts in ingested):
            tasks.compact_tables(config)
    summary = RebuildSummary.model_validate(
        {
            **build.summary,
            "new": sum(counts.new for counts in ingested),
            "standardized": sum(counts.images for counts in done),
            "seconds": round(time.perf_counter() - began, 2),
            "build": build.id,
        }
    )
    show(config, summary)
    if broken:
        raise together(broken)
    return summary


def ingest_all(config: DatasetConfig) -> tuple[list[IngestCounts], list[SourceError]]:
    """Take in what is new in each source; one that fails does not keep the others waiting."""
    ingested, broken = [], []
    for source in config.sources:
        try:
            ingested.append(tasks.ingest_source(config, source))
        except SourceError as error:
            broken.append(error)
    return ingested, broken


def together(errors: Sequence[SourceError]) -> SourceError:
    """Make one error of those of several sources."""
    return SourceError("\n".join(str(error) for error in errors))


def standardize_all(config: DatasetConfig, parts: Sequence[pa.Table]) -> list[PartitionCounts]:
    """Standardize one partition after the other; the run's page shows how far it has come."""
    if not parts:
        return []
    bar = cast("UUID", create_progress_artifact(progress=0.0, key="rebuild-progress"))
    done = []
    for number, part in enumerate(parts, 1):
        done.append(tasks.standardize(config, part, f"{number} of {len(parts)}"))
        update_progress_artifact(bar, progress=100.0 * number / len(parts))
    return done


def show(config: DatasetConfig, summary: RebuildSummary) -> None:
    """Put the outcome on the run's page: counts, reasons, the report."""
    counts = ("seen", "items", "accepted", "flagged", "rejected", "failed")
    lines = ["| | |", "|-|-:|", *(f"| {name} | {getattr(summary, name):,} |" for name in counts)]
    create_markdown_artifact(key="rebuild-summary", markdown="\n".join(lines))
    create_table_artifact(
        key="rebuild-reasons",
        table=[{"reason": name, "items": count} for name, count in summary.reasons.items()],
    )
    report = open_catalog(config).root.join(REPORT)
    link = report if "://" in report else Path(report).as_uri()
    create_link_artifact(key="rebuild-report", link=link, link_text="report.html")
