"""The main job: pictures in, a judged catalog and its report out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast
from uuid import UUID

import pyarrow as pa
from prefect import Task, flow, runtime
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from pydantic import BaseModel

from curation.errors import SourceError
from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import IngestCounts
from curation.ingest.web.process import CrawledSource
from curation.stages.standardize import PartitionCounts
from data_catalog.versions import REPORT
from flows import tasks
from flows.artifacts import show_build
from flows.catalog import open_catalog
from flows.rank import rank_on_rebuild
from flows.settings import DatasetConfig
from flows.tasks import Build

_PAUSES: Final = (30.0, 120.0)  # seconds before a source of the web is tried again


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
    ranked : int
        Items that the current model scored in this run.
    notes : list of str
        What could not be done, but did not keep the rest from being done.
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
    ranked: int = 0
    notes: list[str] = []
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
        ranked, notes = rank_on_rebuild(config)
        tasks.take_decisions(config)
        build = tasks.judge_items(config, selection)
        if done or any(counts.new for counts in ingested):
            tasks.compact_tables(config)
    summary = RebuildSummary.model_validate(
        {
            **build.summary,
            "new": sum(counts.new for counts in ingested),
            "standardized": sum(counts.images for counts in done),
            "ranked": ranked,
            "notes": notes,
            "seconds": round(time.perf_counter() - began, 2),
            "build": build.id,
        }
    )
    show(config, summary)
    show_build(build.report)
    if broken:
        raise together(broken)
    return summary


def judge_again(config: DatasetConfig) -> Build | None:
    """Judge what is there, with the latest decisions and scores; the report follows.

    Returns
    -------
    Build or None
        None where images are not standardized yet: the next rebuild judges them all.
    """
    with open_catalog(config).lock("judge"):
        selection = tasks.select_items(config)
        if tasks.find_pending(config, selection):
            return None
        tasks.take_decisions(config)
        build = tasks.judge_items(config, selection)
    show_build(build.report)
    return build


def ingest_all(config: DatasetConfig) -> tuple[list[IngestCounts], list[SourceError]]:
    """Take in what is new in each source; one that fails does not keep the others waiting."""
    ingested, broken = [], []
    for source in config.sources:
        try:
            ingested.append(_ingesting(source)(config, source))
        except SourceError as error:
            broken.append(error)
    return ingested, broken


def _ingesting(source: SourceConfig) -> Task[..., IngestCounts]:
    """Give the task that takes a source in: what comes over a network is tried again.

    In runs of deployments alone: a person at a terminal wants to be told at once.
    """
    if runtime.deployment.id is None or not isinstance(open_source(source), CrawledSource):
        return tasks.ingest_source
    return tasks.ingest_source.with_options(retries=len(_PAUSES), retry_delay_seconds=list(_PAUSES))


def together(errors: Sequence[SourceError]) -> SourceError:
    """Make one error of those of several sources."""
    return SourceError("\n".join(str(error) for error in errors))


def standardize_all(config: DatasetConfig, parts: Sequence[pa.Table]) -> list[PartitionCounts]:
    """Standardize here, one partition after the other, or on a cluster.

    The run's page shows how far it has come.
    """
    if not parts:
        return []
    bar = cast("UUID", create_progress_artifact(progress=0.0, key="rebuild-progress"))
    if config.compute.runner == "dask":

        def tell(share: float) -> None:
            update_progress_artifact(bar, progress=100.0 * share)

        return tasks.standardize_on_cluster(config, pa.concat_tables(parts), tell)
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
    report = open_catalog(config).root.address(REPORT)
    link = report if "://" in report else Path(report).as_uri()
    create_link_artifact(key="rebuild-report", link=link, link_text="report.html")
