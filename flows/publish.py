"""Freeze what is accepted into versions that training consumes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from curation.stages.splits import SplitConfig, count_shares, part_of
from data_catalog.errors import CatalogError
from data_catalog.versions import Version
from flows import events, tasks
from flows.catalog import open_catalog
from flows.settings import ConfigError, DatasetConfig


class PublishedVersion(BaseModel):
    """A published version: its number, content hash, counts and folder."""

    version: int
    split: str | None = Field(description="None: the whole set")
    hash: str
    items: int
    shards: int
    path: str


class PublishSummary(PublishedVersion):
    """What was published: the last version, and all of them."""

    versions: tuple[PublishedVersion, ...] = Field(description="in the order of publishing")
    in_several: int = Field(description="items that are in several of the splits")
    in_none: int = Field(description="items that are in none of the splits, where there are any")


class EmptySplitError(CatalogError):
    """Nothing is in a split; `published` is what became of the others, if there were any."""

    def __init__(self, empty: Sequence[SplitConfig], published: PublishSummary | None) -> None:
        super().__init__(
            f"no accepted item is in the {', nor in the '.join(map(str, empty))}; change its "
            "conditions in [[splits]], or give items what they ask for: people can tag on the "
            "review page"
        )
        self.published = published


@flow(name="publish", flow_run_name="publish {config.dataset.name}")
def publish(
    config: DatasetConfig, splits: Sequence[str] = (), whole: bool = False
) -> PublishSummary:
    """Judge once more, so that the latest decisions count, and publish what is accepted.

    Parameters
    ----------
    splits
        Names of those to publish; none: all of the configuration, or the whole set where that has
        none.
    whole
        Publish the whole set besides splits.

    Raises
    ------
    ConfigError
        If there is no such split.
    EmptySplitError
        If nothing is in one of them; the others have been published.
    """
    wanted = _wanted(config, splits, whole=whole)
    with open_catalog(config).lock("publish"):
        selection = tasks.select_items(config)
        missing = sum(part.num_rows for part in tasks.find_pending(config, selection))
        if missing:
            raise CatalogError(
                f"{missing} images are not standardized by this recipe yet; "
                "run `nonesuch rebuild` first"
            )
        # What people say from here on, while shards are written, is news for the version after.
        until = datetime.now(UTC)
        tasks.take_decisions(config)
        build = tasks.judge_items(config, selection)
        members: pa.Table = tasks.find_members(config, selection)
        parts = [(s, members if s is None else part_of(members, s)) for s in wanted]
        versions = [
            tasks.publish_version(config, build, part, split, until)
            for split, part in parts
            if part.num_rows
        ]
    for version in versions:
        events.version_published(config, version.version, version.hash)
    shares = count_shares(members, config.splits)
    summary = _summed_up(versions, shares.several, shares.none if config.splits else 0)
    empty = [split for split, part in parts if split is not None and not part.num_rows]
    if empty or summary is None:
        raise EmptySplitError(empty, summary)
    return summary


def _wanted(
    config: DatasetConfig, names: Sequence[str], *, whole: bool
) -> list[SplitConfig | None]:
    """Give what is published, None being the whole set."""
    known = {split.name: split for split in config.splits}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no split {name!r} in [[splits]]; there are {', '.join(known) or 'none'}"
            )
    splits = [split for split in config.splits if split.name in names or not names]
    return [*([None] if whole or not splits else []), *splits]


def _summed_up(versions: Sequence[Version], in_several: int, in_none: int) -> PublishSummary | None:
    """Sum up, on Prefect's page too; None where nothing was published."""
    if not versions:
        return None
    published = [
        PublishedVersion(
            version=version.version,
            split=version.split,
            hash=version.hash,
            items=version.items,
            shards=version.shards,
            path=version.path,
        )
        for version in versions
    ]
    for one in published:
        of = "" if one.split is None else f", split {one.split}"
        text = f"Version {one.version}{of}: {one.items:,} items in {one.shards} shards"
        create_markdown_artifact(key="published-version", markdown=f"{text}\n\n`{one.path}`")
    return PublishSummary(
        **published[-1].model_dump(),
        versions=tuple(published),
        in_several=in_several,
        in_none=in_none,
    )
