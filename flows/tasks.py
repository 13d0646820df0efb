"""The tasks of the flows: each reads, calls a stage, commits. No image or tensor maths here.

A task is a partition, never an image: Prefect costs some 50 ms a task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
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
from curation.stages.report import Report, write_report
from curation.stages.scores import Scores, current_scores, write_scores
from curation.stages.splits import SplitConfig
from curation.stages.standardize import (
    PartitionCounts,
    commit,
    partitions,
    pending,
    rows_of_killer,
    standardize_partition,
    standardize_rows,
)
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.models import Model
from data_catalog.versions import REPORT, Version, publish
from flows import progress, traffic
from flows.catalog import open_catalog
from flows.compute.cluster import Cluster, open_cluster, own, pieces
from flows.decisions import exchange_decisions
from flows.ranking import away, density
from flows.ranking.density import Sample
from flows.ranking.scoring import RankPart, RankPlan, Scored, plan_parts, score_part
from flows.settings import DatasetConfig


def _pool(config: DatasetConfig) -> WorkerPool:
    return WorkerPool(config.run.workers or None)


# What the catalog and its versions do not keep of the configuration: keys and tokens.
PRIVATE: Final[dict[str, Any]] = {"dataset": {"storage_options"}, "review": True}


@dataclass(frozen=True, slots=True)
class Build:
    """One build: its id, what it counted, and whether it was there already.

    `report` is there where it was made now.
    """

    id: str
    summary: Mapping[str, Any]
    unchanged: bool
    report: Report | None = None


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


@task(name="standardize on the cluster", cache_policy=NO_CACHE)
def standardize_on_cluster(
    config: DatasetConfig, images: pa.Table, tell: Callable[[float], None]
) -> list[PartitionCounts]:
    """Let the workers of a cluster standardize; commit the rows of each partition as they come.

    Parameters
    ----------
    tell
        Called with the share that is done.
    """
    catalog = open_catalog(config)
    recipe, limits = config.recipe, config.limits
    done: list[PartitionCounts] = []
    with (
        progress.stage("standardize on the cluster", images.num_rows) as stage,
        open_cluster(config.compute) as cluster,
    ):
        parts = [own(part) for part in partitions(images, cluster.processors)]
        answers = cluster.map(
            partial(standardize_rows, catalog, recipe, limits),
            parts,
            split=pieces,
            give_up=partial(rows_of_killer, recipe, limits),
        )
        for part, rows in answers:
            done.append(commit(catalog, rows))
            stage.advance(part.num_rows)
            tell(sum(counts.images for counts in done) / images.num_rows)
        items, failed = (sum(getattr(c, name) for c in done) for name in ("items", "failed"))
        stage.result = f"{images.num_rows} images, {items} items, {failed} failed"
    _show_workers(cluster, "Who standardized how much")
    return done


def _show_workers(cluster: Cluster, title: str) -> None:
    """Put how many partitions each worker did on the run's page."""
    table = [{"worker": name, "partitions": n} for name, n in sorted(cluster.done.items())]
    create_table_artifact(table=table, key="cluster", description=title)


@task(name="take decisions", cache_policy=NO_CACHE)
def take_decisions(config: DatasetConfig) -> int:
    """Bring what people said on the review page into the catalog; give how much was new."""
    with progress.stage("take decisions") as stage:
        exchanged = exchange_decisions(config, open_catalog(config))
        stage.result = f"{exchanged.to_catalog} new" if exchanged.to_catalog else ""
    return exchanged.to_catalog


@task(name="find unscored", cache_policy=NO_CACHE)
def find_unscored(config: DatasetConfig, model: Model) -> RankPlan:
    """Find items that a model has not scored, in partitions."""
    return plan_parts(config, model, lambda: select_items(config))


@task(name="rank partition", cache_policy=NO_CACHE)
def rank_partition(config: DatasetConfig, model: Model, part: RankPart, label: str) -> Scored:
    """Score one partition, and commit its scores."""
    with progress.stage(f"rank {label}", part.rows.num_rows) as stage:
        scored = score_part(config, model, part, stage.advance)
        return _commit_scores(config, scored, stage)


@task(name="rank on the cluster", cache_policy=NO_CACHE)
def rank_on_cluster(
    config: DatasetConfig,
    score: Callable[[RankPart], Scored],
    parts: Sequence[RankPart],
    tell: Callable[[float], None],
) -> list[Scored]:
    """Let the workers of a cluster score; commit the scores of each partition as they come.

    Parameters
    ----------
    score
        Scores a part, on a worker.
    tell
        Called with the share that is done.
    """
    total = sum(part.rows.num_rows for part in parts)
    done: list[Scored] = []
    with (
        progress.stage("rank on the cluster", total) as stage,
        open_cluster(config.compute) as cluster,
    ):
        try:
            with closing(cluster.map(score, away.sent(parts), whole_worker=True)) as answers:
                for part, scored in answers:
                    done.append(_commit_scores(config, scored, stage))
                    stage.advance(part.rows.num_rows)
                    tell(len(done) / len(parts))
        finally:
            cluster.tell_all(away.let_go)
        stage.result = f"{sum(scored.rows.num_rows for scored in done)} scored"
    _show_workers(cluster, "Who ranked how much")
    return done


def _commit_scores(config: DatasetConfig, scored: Scored, stage: progress.StageReport) -> Scored:
    write_scores(open_catalog(config), scored.rows)
    damaged = "".join(f"; {item} {why}" for item, why in scored.damaged.items())
    stage.result = f"{scored.rows.num_rows} scored{damaged}"
    return scored


@task(name="sample partition", cache_policy=NO_CACHE)
def sample_partition(config: DatasetConfig, rows: pa.Table, label: str) -> None:
    """Take the features of one part of the sample that pictures will be compared with."""
    with progress.stage(f"sample {label}", rows.num_rows) as stage:
        damaged = density.look_at(config, rows, stage.advance)
        stage.result = _looked_at(rows.num_rows, damaged)


@task(name="sample on the cluster", cache_policy=NO_CACHE)
def sample_on_cluster(
    config: DatasetConfig, parts: Sequence[pa.Table], tell: Callable[[float], None]
) -> None:
    """Let the workers of a cluster look at the sample that pictures will be compared with.

    Parameters
    ----------
    tell
        Called with the share that is done.
    """
    parts = [rows for rows in parts if not density.is_kept(config, rows)]
    if not parts:
        return
    total = sum(rows.num_rows for rows in parts)
    damaged: dict[str, str] = {}
    look = partial(away.look_at, away.for_workers(config))
    with (
        progress.stage("sample on the cluster", total) as stage,
        open_cluster(config.compute) as cluster,
    ):
        looked = cluster.map(look, [own(rows) for rows in parts], whole_worker=True)
        for number, (rows, found) in enumerate(looked, 1):
            density.keep_part(config, rows, found)
            damaged |= found.damaged
            stage.advance(rows.num_rows)
            tell(number / len(parts))
        stage.result = _looked_at(total, damaged)
    _show_workers(cluster, "Who looked at how much of the sample")


def _looked_at(pictures: int, damaged: Mapping[str, str]) -> str:
    told = "".join(f"; {item} {why}" for item, why in damaged.items())
    return f"{pictures - len(damaged)} looked at{told}"


@task(name="compare partition", cache_policy=NO_CACHE)
def compare_partition(config: DatasetConfig, sample: Sample, part: RankPart, label: str) -> Scored:
    """Score one partition by likeness to the sample, and commit its scores."""
    with progress.stage(f"compare {label}", part.rows.num_rows) as stage:
        scored = density.score_density(config, sample, part, stage.advance)
        return _commit_scores(config, scored, stage)


@task(name="judge", cache_policy=NO_CACHE)
def judge_items(config: DatasetConfig, selection: pa.Table) -> Build:
    """Group and judge the whole set, write the report; nothing where all is as it was."""
    catalog = open_catalog(config)
    items = load_items(catalog, config.recipe, selection)
    scores = current_scores(catalog, config.recipe)
    build = build_id(items, selection, config.recipe, config.rules, config.duplicates, scores)
    table = catalog.table("builds")
    known = table.read(where=pc.field("build") == build).to_pylist()
    latest = table.read(["build", "built_at"]).sort_by("built_at")["build"]
    if known and latest[-1].as_py() == build and _reports(catalog, build):
        return Build(build, json.loads(known[0]["summary"]), unchanged=True)
    judgement = _judge(config, catalog, items, scores)
    seen = pc.sum(selection["observations"]).as_py() or 0
    summary = {"seen": seen, **count_verdicts(judgement.verdicts)}
    report = _commit_build(config, catalog, items, judgement, selection, build, summary)
    return Build(build, summary, unchanged=False, report=report)


def _reports(catalog: Catalog, build: str) -> bool:
    """Tell whether the report is of this build.

    It is written first of all: after a kill in the midst of another build, it is of that one.
    """
    return catalog.root.exists(REPORT) and build.encode() in catalog.root.read_bytes(REPORT)


def _judge(config: DatasetConfig, catalog: Catalog, items: ItemSet, scores: Scores) -> Judgement:
    with progress.stage("judge") as stage:
        find_pairs = partial(
            relate,
            catalog,
            config.recipe,
            config=config.duplicates,
            pool=lambda: _pool(config),
            progress=stage.advance,
        )
        judgement = judge(items, config.recipe, config.rules, config.duplicates, find_pairs, scores)
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
) -> Report:
    """Write groups, verdicts, the build's row and the report.

    The report is the mark that the tables are whole and of the build that is named last: it goes
    before they are touched and comes back after them, so that a kill in between is seen.
    """
    built_at = datetime.now(UTC)
    with progress.stage("report") as stage:
        report = write_report(
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
        stage.result = catalog.root.address(REPORT)
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
    catalog.root.write_bytes(REPORT, report.page.encode())
    return report


@task(name="compact", cache_policy=NO_CACHE)
def compact_tables(config: DatasetConfig) -> None:
    """Merge the small files that batches left in the large tables."""
    catalog = open_catalog(config)
    drop_superseded_pages(catalog)
    for name in ("observations", "pages", "images", "features", "pairs"):
        catalog.table(name).compact()


@task(name="find members", cache_policy=NO_CACHE)
def find_members(config: DatasetConfig, selection: pa.Table) -> pa.Table:
    """Find the accepted items of the last build, of which versions are made."""
    chosen = members(
        open_catalog(config),
        config.recipe,
        selection,
        include_flagged=config.publish.include_flagged,
    )
    if chosen.num_rows == 0:
        raise CatalogError(
            "there is nothing to publish: no item is accepted; look at the report, then change a "
            "rule or accept items by hand, or run `nonesuch rebuild` first"
        )
    return chosen


@task(name="publish version", cache_policy=NO_CACHE)
def publish_version(
    config: DatasetConfig,
    build: Build,
    chosen: pa.Table,
    split: SplitConfig | None,
    decided_until: datetime,
) -> Version:
    """Freeze accepted items of a build, all of them or those of a split, into the next version."""
    catalog = open_catalog(config)
    table = catalog.table("builds")
    inverted = table.read(["inverted"], where=pc.field("build") == build.id)["inverted"][0].as_py()
    name = "publish" if split is None else f"publish {split.name}"
    with progress.stage(name, chosen.num_rows) as stage:
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
                "split": None if split is None else split.name,
                "filter": None if split is None else split.filter(),
                "recipe": config.recipe.model_dump(mode="json"),
                "inverted": inverted,
                "format": config.recipe.format,
                "width": config.recipe.width,
                "height": config.recipe.height,
                "summary": dict(build.summary),
                "config": config.model_dump(mode="json", exclude=PRIVATE),
                "software": software(),
                "decided_until": decided_until.isoformat(),
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
