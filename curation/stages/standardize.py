"""Stage: decode, measure, fingerprint and standardize every image that has no features yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.item import Item, failed, process
from curation.pool import WorkerPool
from curation.recipe import Limits, Recipe
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef, PackStore, PackWriter
from data_catalog.schema import FEATURES, Reason

PARTITION: Final = 2000
MAX_PARTITIONS: Final = 150  # Prefect slows down past some 200 tasks a flow


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image to be processed: what it is and where its bytes are."""

    image_id: str
    ref: PackRef


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """What one partition came to: images in, items out, failed items among them."""

    images: int
    items: int
    failed: int


def pending(catalog: Catalog, recipe: Recipe, limits: Limits, image_ids: pa.Array) -> pa.Table:
    """Find the images among `image_ids` that have no features by this recipe yet.

    Those that ran into other limits than today's are among them.

    Returns
    -------
    pyarrow.Table
        `image_id`, `pack`, `offset`, `length`, sorted by place, so that reading is sequential.
    """
    features = catalog.table("features")
    under_other_limits = pc.field("limits").is_valid() & (pc.field("limits") != limits.key)
    settled = (pc.field("recipe") == recipe.id) & ~under_other_limits
    done = features.read(["image_id"], where=settled)["image_id"]
    image = pc.field("image_id")
    wanted = image.isin(image_ids) & ~image.isin(pc.unique(done))
    columns = ["image_id", "pack", "offset", "length"]
    found = catalog.table("images").read(columns, where=wanted)
    # A kill between two commits may have left two rows for one image; they hold the same bytes.
    frame = found.to_pandas().drop_duplicates("image_id").sort_values(["pack", "offset"])
    return pa.Table.from_pandas(frame, schema=found.schema, preserve_index=False)


def partitions(images: pa.Table) -> Iterator[pa.Table]:
    """Cut pending images into partitions of 2,000, or larger ones where there would be too many."""
    size = max(PARTITION, -(-images.num_rows // MAX_PARTITIONS))
    for start in range(0, images.num_rows, size):
        yield images.slice(start, size)


def standardize_partition(
    catalog: Catalog,
    recipe: Recipe,
    limits: Limits,
    images: pa.Table,
    pool: WorkerPool,
    progress: Callable[[int], None] | None = None,
) -> PartitionCounts:
    """Process one partition; write its packs, then commit its rows.

    Packs are sealed before the rows that refer to them are committed, in one commit a pack, so
    that a kill loses at most one pack's worth of work.

    Parameters
    ----------
    images : pyarrow.Table
        From `pending`.
    progress : callable
        Called with the number of images done since the last call.
    """
    work = partial(_process_chunk, catalog.raw, recipe, limits)
    give_up = partial(_give_up, recipe.id, limits)
    writer = _FeatureWriter(catalog, recipe)
    try:
        for items in pool.map(work, _raw_images(images), seconds=limits.seconds, give_up=give_up):
            writer.add(items)
            if progress is not None:
                progress(1)
        writer.commit()
    except BaseException:
        writer.discard()
        raise
    return PartitionCounts(images.num_rows, writer.items, writer.failed)


def _raw_images(images: pa.Table) -> list[RawImage]:
    columns = (images[name].to_pylist() for name in ("image_id", "pack", "offset", "length"))
    return [
        RawImage(image_id, PackRef(pack, offset, length))
        for image_id, pack, offset, length in zip(*columns, strict=True)
    ]


def _process_chunk(
    raw: PackStore, recipe: Recipe, limits: Limits, chunk: Sequence[RawImage]
) -> list[list[Item]]:
    """Read and process some images; runs in a worker."""
    data = raw.read_many(image.ref for image in chunk)
    return [
        process(image.image_id, content, recipe, limits)
        for image, content in zip(chunk, data, strict=True)
    ]


def _give_up(
    recipe_id: str, limits: Limits, image: RawImage, reason: Reason, detail: str
) -> list[Item]:
    return [failed(image.image_id, recipe_id, limits, image.ref.length, reason, detail)]


class _FeatureWriter:
    """Collects items; seals a pack and commits its rows whenever one is full."""

    def __init__(self, catalog: Catalog, recipe: Recipe) -> None:
        self.items = 0
        self.failed = 0
        self._store = catalog.standard(recipe.id)
        self._table = catalog.table("features")
        self._rows: list[dict[str, object]] = []
        self._pack: PackWriter = self._new_pack()

    def add(self, items: Sequence[Item]) -> None:
        """Add the items of one image; they never straddle two commits."""
        for item in items:
            row = dict(item.row)
            if item.image is not None and item.thumb is not None:
                name = str(row["item_id"])
                image = self._pack.add(name, item.image)
                thumb = self._pack.add(f"{name}.thumb", item.thumb)
                row |= {"pack": image.pack, "offset": image.offset, "length": image.length}
                row |= {"thumb_offset": thumb.offset, "thumb_length": thumb.length}
            self._rows.append(row)
            self.items += 1
            self.failed += "failure" in row
        if self._pack.full:
            self.commit()

    def commit(self) -> None:
        """Seal the pack, then commit the rows that refer to it."""
        self._pack.close()
        if self._rows:
            self._table.append(pa.Table.from_pylist(self._rows, schema=FEATURES))
            self._rows = []
        self._pack = self._new_pack()

    def discard(self) -> None:
        """Drop what is not committed."""
        self._pack.discard()

    def _new_pack(self) -> PackWriter:
        # Two members an item: the image and its thumbnail.
        return self._store.writer(max_items=2 * PARTITION)
