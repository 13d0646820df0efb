"""The tasks of the flows: each reads, calls a stage, commits. No image or tensor maths here.

A task is a partition, never an image: Prefect costs some 50 ms a task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from curation.ingest.offers import Traffic
from curation.ingest.selection import current
from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import (
    IngestCounts,
    IngestProgress,
    drop_superseded_pages,
    ingest,
)
from curation.pool import WorkerPool
from curation.recipe import FEATURES_REVISION
from curation.stages.judge import ItemSet, Judgement, build_id, count_verdicts, judge, load_items
from curation.stages.members import members
from curation.stages.relate import relate
from curation.stages.report import write_report
from curation.stages.standardize import (
    PartitionCounts,
    partitions,
    pending,
    standardize_partition,
)
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.versions import REPORT, Version, publish
from flows import progress, traffic
from flows.catalog import open_catalog
from flows.decisions import exchange_decisions
from flows.settings import DatasetConfig


def _pool(config: DatasetConfig) -> WorkerPool:
    return WorkerPool(config.run.workers or None)


# What the catalog and its versions do not keep of the configuration: keys and tokens.
PRIVATE: Final[dict[str, Any]] = {"dataset": {"storage_options"}, "review": True}


@dataclass(frozen=True, slots=True)
class Build:
    """One build: its id, what it counted, and whether it was there already."""

    id: str
    summary: Mapping[str, Any]
    unchanged: bool


@task(name="ingest source", task_run_name="ingest {source.name}", cache_policy=NO_CACHE)
def ingest_source(config: DatasetConfig, source: SourceConfig) -> IngestCounts:
    """Take in what is new in one source."""
    catalog = open_catalog(config)
    gone = set(catalog.table("tombstones").read(["image_id"])["image_id"].to_pylist())
    with progress.stage(f"ingest {source.name}") as stage:
        told = 0
        speed = traffic.Speed()

        def tell(state: IngestProgress) -> None:
            nonlocal told
            stage.advance(state.seen - told)
            told = state.seen
            if state.traffic is not None:
                stage.note(traffic.lines(state.traffic, speed.of(state.traffic.bytes)))

        counts = ingest(catalog, open_source(source), config.limits, tombstones=gone, progress=tell)
        stage.result = f"{counts.seen} offered, {counts.new} new images"
        if counts.failed:
            stage.result += f"; failed: {traffic.errors(counts.failed)}"
    if counts.traffic is not None:
        _show_hosts(source.name, counts.traffic)
    return counts


def _show_hosts(name: str, fetched: Traffic) -> None:
    """Put what a crawl fetched from each host on the run's page."""
    rows = [
        {
            "host": host,
            "pages": part.pages,
            "pictures": part.images,
            "bytes": part.bytes,
            "errors": traffic.errors(part.errors),
        }
        for host, part in fetched.hosts.items()
    ]
    create_table_artifact(table=rows, key="crawl", description=f"Crawl of {name}, by host")


@task(name="select", cache_policy=NO_CACHE)
def select_items(config: DatasetConfig) -> pa.Table:
    """Find what is in the set now: the latest observations that pass today's filters."""
    return current(open_catalog(config).table("observations").read(), config.sources)


@task(name="find pending", cache_policy=NO_CACHE)
def find_pending(config: DatasetConfig, selection: pa.Table) -> list[pa.Table]:
    """Find images without features, in partitions."""
    ids = pc.drop_null(selection["image_id"].combine_chunks())
    return list(partitions(pending(open_catalog(config), config.recipe, config.limits, ids)))


@task(name="standardize partition", cache_policy=NO_CACHE)
def standardize(config: DatasetConfig, images: pa.Table, label: str) -> PartitionCounts:
    """Decode, measure, fingerprint and standardize one partition."""
    with progress.stage(f"standardize {label}", images.num_rows) as stage, _pool(config) as pool:
        counts = standardize_partition(
            open_catalog(config), config.recipe, config.limits, images, pool, stage.advance
        )
        stage.result = f"{counts.images} images, {counts.items} items, {counts.failed} failed"
    return counts


@task(name="take decisions", cache_policy=NO_CACHE)
def take_decisions(config: DatasetConfig) -> int:
    """Bring what people said on the review page into the catalog; give how much was new."""
    with progress.stage("take decisions") as stage:
        exchanged = exchange_decisions(config, open_catalog(config))
        stage.result = f"{exchanged.to_catalog} new" if exchanged.to_catalog else ""
    return exchanged.to_catalog


@task(name="judge", cache_policy=NO_CACHE)
def judge_items(config: DatasetConfig, selection: pa.Table) -> Build:
    """Group and judge the whole set, write the report; nothing where all is as it was."""
    catalog = open_catalog(config)
    items = load_items(catalog, config.recipe, selection)
    build = build_id(items, selection, config.recipe, config.rules, config.duplicates)
    table = catalog.table("builds")
    known = table.read(where=pc.field("build") == build).to_pylist()
    latest = table.read(["build", "built_at"]).sort_by("built_at")["build"]
    if known and latest[-1].as_py() == build and _reports(catalog, build):
        return Build(build, json.loads(known[0]["summary"]), unchanged=True)
    judgement = _judge(config, catalog, items)
    seen = pc.sum(selection["observations"]).as_py() or 0
    summary = {"seen": seen, **count_verdicts(judgement.verdicts)}
    _commit_build(config, catalog, items, judgement, selection, build, summary)
    return Build(build, summary, unchanged=False)


def _reports(catalog: Catalog, build: str) -> bool:
    """Tell whether the report is of this build.

    It is written first of all: after a kill in the midst of another build, it is of that one.
    """
    return catalog.root.exists(REPORT) and build.encode() in catalog.root.read_bytes(REPORT)


def _judge(config: DatasetConfig, catalog: Catalog, items: ItemSet) -> Judgement:
    with progress.stage("judge") as stage:
        find_pairs = partial(
            relate,
            catalog,
            config.recipe,
            config=config.duplicates,
            pool=lambda: _pool(config),
            progress=stage.advance,
        )
        judgement = judge(items, config.recipe, config.rules, config.duplicates, find_pairs)
        stage.result = f"{judgement.verdicts.num_rows} items"
    return judgement


def _commit_build(
    config: DatasetConfig,
    catalog: Catalog,
    items: ItemSet,
    judgement: Judgement,
    selection: pa.Table,
    build: str,
    summary: Mapping[str, Any],
) -> None:
    """Write groups, verdicts, the build's row and the report.

    The report is the mark that the tables are whole and of the build that is named last: it goes
    before they are touched and comes back after them, so that a kill in between is seen.
    """
    built_at = datetime.now(UTC)
    with progress.stage("report") as stage:
        page = write_report(
            catalog,
            name=config.dataset.name,
            build=build,
            built_at=built_at,
            recipe=config.recipe,
            rules=config.rules,
            summary=summary,
            items=items,
            judgement=judgement,
            selection=selection,
        )
        stage.result = catalog.root.join(REPORT)
    catalog.root.remove(REPORT)
    catalog.table("groups").replace(judgement.groups)
    catalog.table("verdicts").replace(judgement.verdicts)
    row = {
        "build": build,
        "recipe": config.recipe.id,
        "summary": json.dumps(summary),
        "config": config.model_dump_json(exclude=PRIVATE),
        "inverted": judgement.inversion.inverted,
        "built_at": built_at,
    }
    table = catalog.table("builds")
    table.append(pa.Table.from_pylist([row], schema=table.schema))
    catalog.root.write_bytes(REPORT, page.encode())


@task(name="compact", cache_policy=NO_CACHE)
def compact_tables(config: DatasetConfig) -> None:
    """Merge the small files that batches left in the large tables."""
    catalog = open_catalog(config)
    drop_superseded_pages(catalog)
    for name in ("observations", "pages", "images", "features", "pairs"):
        catalog.table(name).compact()


@task(name="publish version", cache_policy=NO_CACHE)
def publish_version(config: DatasetConfig, selection: pa.Table, build: Build) -> Version:
    """Freeze the accepted items of a build into the next version."""
    catalog = open_catalog(config)
    table = catalog.table("builds")
    inverted = table.read(["inverted"], where=pc.field("build") == build.id)["inverted"][0].as_py()
    chosen = members(
        catalog, config.recipe, selection, include_flagged=config.publish.include_flagged
    )
    if chosen.num_rows == 0:
        raise CatalogError(
            "there is nothing to publish: no item is accepted; look at the report, then change a "
            "rule or accept items by hand, or run `nonesuch rebuild` first"
        )
    with progress.stage("publish", chosen.num_rows) as stage:
        told = 0

        def tell(done: int, _total: int) -> None:
            nonlocal told
            stage.advance(done - told)
            told = done

        version = publish(
            catalog,
            chosen,
            recipe_id=config.recipe.id,
            manifest={
                "dataset": config.dataset.name,
                "recipe": config.recipe.model_dump(mode="json"),
                "inverted": inverted,
                "format": config.recipe.format,
                "width": config.recipe.width,
                "height": config.recipe.height,
                "summary": dict(build.summary),
                "config": config.model_dump(mode="json", exclude=PRIVATE),
                "software": software(),
            },
            build=build.id,
            samples_per_shard=config.publish.samples_per_shard,
            progress=tell,
            report_html=catalog.root.read_bytes(REPORT).decode(),
        )
        stage.result = f"version {version.version}, {version.items} items"
    return version


def software() -> dict[str, str]:
    """Name the code that a version was made with."""
    return {"nonesuch": metadata.version("nonesuch"), "features": str(FEATURES_REVISION)}
