"""Standardized pictures in a stream: read and decoded by threads ahead of whoever takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from curation.pool import default_workers
from curation.recipe import Recipe
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef, PackStore

Pixels = NDArray[np.uint8]
Damaged = Callable[[str, str], None]
"""Told of a picture that cannot be decoded: its item, and why."""

_JPEG: Final = b"\xff\xd8\xff"
_AHEAD: Final = 2  # batches that are under way besides the one that is taken
_AT_ONCE: Final = 8  # pictures that a thread reads and decodes before it looks for other work


class _UndecodableError(ValueError):
    """A picture that is not what it must be; the message says how."""


def nobody(_item: str, _why: str) -> None:
    """Tell nobody."""


def standard_pictures(
    catalog: Catalog,
    recipe: Recipe,
    rows: pa.Table,
    *,
    batch: int = 64,
    workers: int = 0,
    damaged: Damaged = nobody,
) -> Iterator[tuple[list[str], Pixels]]:
    """Read and decode standardized pictures in the order of their rows.

    Memory is bounded: at most three batches are held. Decoders let go of Python's lock, so that
    threads suffice, and no picture has to be handed from one process to another.

    Parameters
    ----------
    rows : pyarrow.Table
        `item_id`, `pack`, `offset`, `length`; by place, so that packs are read front to back.
    batch
        Pictures at once.
    workers
        Threads; 0: one for each processor.
    damaged
        Told of pictures that cannot be decoded or have another size; they are left out.

    Yields
    ------
    items : list of str
        At most `batch` of them, and never none.
    pixels : ndarray of shape (n, H, W, 3), uint8
        As people see them.

    Raises
    ------
    StorageError
        If a pack is missing, or ends too early.
    """
    store = catalog.standard(recipe.id)
    with ThreadPoolExecutor(workers or default_workers(), "decode") as pool:
        waiting: deque[_Batch] = deque()
        try:
            for start in range(0, rows.num_rows, batch):
                waiting.append(_begin(pool, store, recipe, rows.slice(start, batch)))
                if len(waiting) > _AHEAD:
                    yield from waiting.popleft().finish(damaged)
            while waiting:
                yield from waiting.popleft().finish(damaged)
        finally:
            for part in waiting:
                part.cancel()


@dataclass
class _Batch:
    """A batch under way."""

    items: list[str]
    pixels: Pixels
    parts: list[Future[dict[int, str]]] = field(default_factory=list)

    def finish(self, damaged: Damaged) -> Iterator[tuple[list[str], Pixels]]:
        """Give what could be decoded, if any."""
        broken: dict[int, str] = {}
        for part in self.parts:
            broken |= part.result()
        for at, why in broken.items():
            damaged(self.items[at], why)
        if not broken:
            yield self.items, self.pixels
        elif len(broken) < len(self.items):
            kept = [at for at in range(len(self.items)) if at not in broken]
            yield [self.items[at] for at in kept], self.pixels[kept]

    def cancel(self) -> None:
        for part in self.parts:
            part.cancel()


def _begin(pool: ThreadPoolExecutor, store: PackStore, recipe: Recipe, rows: pa.Table) -> _Batch:
    columns = (rows[name].to_pylist() for name in ("item_id", "pack", "offset", "length"))
    items, *places = columns
    refs = [PackRef(*place) for place in zip(*places, strict=True)]
    found = _Batch(items, np.empty((len(items), recipe.height, recipe.width, 3), np.uint8))
    for first in range(0, len(items), _AT_ONCE):
        chunk = refs[first : first + _AT_ONCE]
        found.parts.append(pool.submit(_decode, store, chunk, found.pixels, first))
    return found


def _decode(store: PackStore, refs: list[PackRef], pixels: Pixels, first: int) -> dict[int, str]:
    """Read pictures and decode them into the batch from `first` on; say which failed, and why."""
    broken = {}
    for at, data in enumerate(store.read_many(refs), first):
        try:
            _decode_into(data, pixels[at])
        except _UndecodableError as error:
            broken[at] = str(error)
    return broken


def _decode_into(data: bytes, out: Pixels) -> None:
    """Decode one picture into an array of (H, W, 3)."""
    if data.startswith(_JPEG):
        _decode_jpeg(data, out)
        return
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise _UndecodableError(f"cannot be decoded: {error}") from error
    if found is None:
        raise _UndecodableError("cannot be decoded")
    _check_size(found.shape[:2], out)
    cv2.cvtColor(found, cv2.COLOR_BGR2RGB, dst=out)


def _decode_jpeg(data: bytes, out: Pixels) -> None:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        _check_size((height, width), out)
        simplejpeg.decode_jpeg(data, "RGB", buffer=out)
    except _UndecodableError:
        raise
    except ValueError as error:
        raise _UndecodableError(f"cannot be decoded: {error}") from error


def _check_size(size: tuple[int, ...], out: Pixels) -> None:
    if size != out.shape[:2]:
        raise _UndecodableError(
            f"is {size[1]}×{size[0]} px, must be {out.shape[1]}×{out.shape[0]} (width × height)"
        )
