"""Stage: decode, measure, fingerprint and standardize every image that has no features yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
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
SMALLEST: Final = 50  # images for a process that has to be started for them
_TURNS: Final = 4  # partitions for each processor of a cluster


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


def partitions(images: pa.Table, processors: int | None = None) -> Iterator[pa.Table]:
    """Cut pending images into partitions of 2,000, or larger ones where there would be too many.

    Parameters
    ----------
    processors
        Of a cluster, each of which takes a partition at a time: cut finer, so that none of them
        waits long for the last. None: partitions are worked off one after the other.
    """
    size = PARTITION
    if processors is not None:
        size = min(PARTITION, max(SMALLEST, -(-images.num_rows // (_TURNS * processors))))
    else:
        size = max(size, -(-images.num_rows // MAX_PARTITIONS))
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
    """Process one partition and commit its rows, in one commit a pack.

    A kill loses at most one pack's worth of work.

    Parameters
    ----------
    images : pyarrow.Table
        From `pending`.
    progress : callable
        Called with the number of images done since the last call.
    """
    items = bad = 0
    with closing(standardize_packs(catalog, recipe, limits, images, pool, progress)) as packs:
        for rows in packs:
            done = commit(catalog, rows)
            items += done.items
            bad += done.failed
    return PartitionCounts(images.num_rows, items, bad)


def standardize_packs(
    catalog: Catalog,
    recipe: Recipe,
    limits: Limits,
    images: pa.Table,
    pool: WorkerPool,
    progress: Callable[[int], None] | None = None,
) -> Generator[pa.Table]:
    """Process images; yield the rows of each pack once it is sealed. Nothing is committed.

    A pack whose rows are never committed is garbage, which `nonesuch gc` removes. Parameters are
    those of `standardize_partition`.

    Yields
    ------
    pyarrow.Table
        Of `FEATURES`, not empty.
    """
    work = partial(_process_chunk, catalog.raw, recipe, limits)
    give_up = partial(_give_up, recipe.id, limits)
    writer = _RowsWriter(catalog, recipe)
    try:
        for items in pool.map(work, _raw_images(images), seconds=limits.seconds, give_up=give_up):
            writer.add(items)
            if progress is not None:
                progress(1)
            if writer.full:
                yield writer.seal()
        if writer.has_rows:
            yield writer.seal()
    except BaseException:
        writer.discard()
        raise


def standardize_rows(
    catalog: Catalog, recipe: Recipe, limits: Limits, images: pa.Table
) -> pa.Table:
    """Process images on one processor, and give all their rows: the work of a cluster's worker.

    Pictures are worked on in a process of their own, so that one that kills it kills no worker.
    The process is kept for the next call, with what it has imported and connected to.
    """
    pool: WorkerPool | None = getattr(_kept, "pool", None)
    if pool is None:
        pool = _kept.pool = WorkerPool(1)
    try:
        packs = list(standardize_packs(catalog, recipe, limits, images, pool))
    except BaseException as error:
        del _kept.pool
        pool.__exit__(type(error), error, error.__traceback__)
        raise
    return pa.concat_tables([FEATURES.empty_table(), *packs])


# Of each thread: a worker of several threads works on several partitions at a time.
_kept = threading.local()


def rows_of_killer(recipe: Recipe, limits: Limits, images: pa.Table) -> pa.Table:
    """Give the rows of images that killed whole workers, not only the process that had them."""
    reason = Reason.CRASHED_WORKER
    rows = [
        _give_up(recipe.id, limits, image, reason, "each worker that had it died")[0].row
        for image in _raw_images(images)
    ]
    return pa.Table.from_pylist([dict(row) for row in rows], schema=FEATURES)


def commit(catalog: Catalog, rows: pa.Table) -> PartitionCounts:
    """Append rows whose packs are sealed, in one commit."""
    catalog.table("features").append(rows)
    images = pc.count_distinct(rows["image_id"]).as_py()
    bad = rows.num_rows - rows["failure"].null_count
    return PartitionCounts(images, rows.num_rows, bad)


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


class _RowsWriter:
    """Collects items: their pictures in a pack, their rows for whoever commits them."""

    def __init__(self, catalog: Catalog, recipe: Recipe) -> None:
        self._store = catalog.standard(recipe.id)
        self._rows: list[dict[str, object]] = []
        self._pack: PackWriter = self._new_pack()

    @property
    def full(self) -> bool:
        """True when the pack is."""
        return self._pack.full

    @property
    def has_rows(self) -> bool:
        """True when there is anything to seal."""
        return bool(self._rows)

    def add(self, items: Sequence[Item]) -> None:
        """Add the items of one image; they never straddle two packs."""
        for item in items:
            row = dict(item.row)
            if item.image is not None and item.thumb is not None:
                name = str(row["item_id"])
                image = self._pack.add(name, item.image)
                thumb = self._pack.add(f"{name}.thumb", item.thumb)
                row |= {"pack": image.pack, "offset": image.offset, "length": image.length}
                row |= {"thumb_offset": thumb.offset, "thumb_length": thumb.length}
            self._rows.append(row)

    def seal(self) -> pa.Table:
        """Seal the pack, begin another, and give the rows that refer to the sealed one."""
        self._pack.close()
        rows = pa.Table.from_pylist(self._rows, schema=FEATURES)
        self._rows = []
        self._pack = self._new_pack()
        return rows

    def discard(self) -> None:
        """Drop what is not sealed."""
        self._pack.discard()

    def _new_pack(self) -> PackWriter:
        # Two members an item: the image and its thumbnail.
        return self._store.writer(max_items=2 * PARTITION)
