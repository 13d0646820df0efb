"""Standardized pictures come decoded, in order; what is damaged is named and left out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curation.decode import decode
from curation.recipe import Limits, Recipe
from curation.stages.pictures import standard_pictures
from curation.standardize import encode
from data_catalog.catalog import Catalog
from data_catalog.errors import StorageError
from data_catalog.packs import PackStore

SIZE = (20, 12)


def recipe(file_format: Literal["jpeg", "png", "webp"] = "png") -> Recipe:
    return Recipe(width=SIZE[1], height=SIZE[0], format=file_format)


def picture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def stored(store: PackStore, files: Sequence[bytes]) -> pa.Table:
    """Put files into packs of three; give their rows."""
    rows = []
    for first in range(0, len(files), 3):
        with store.writer() as writer:
            for number, data in enumerate(files[first : first + 3], first):
                ref = writer.add(f"item{number}", data)
                place = {"pack": ref.pack, "offset": ref.offset, "length": ref.length}
                rows.append({"item_id": f"item{number}", **place})
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_picture_comes_once_and_in_order(tmp_path: Path, batch: int, workers: int) -> None:
    catalog = Catalog(tmp_path)
    files = [encode(picture(seed), "png", 95) for seed in range(11)]
    rows = stored(catalog.standard(recipe().id), files)
    found = list(standard_pictures(catalog, recipe(), rows, batch=batch, workers=workers))
    assert [item for items, _ in found for item in items] == [f"item{n}" for n in range(11)]
    assert all(len(items) == len(pixels) <= batch for items, pixels in found)
    expected = np.stack([picture(seed) for seed in range(11)])
    assert np.array_equal(np.concatenate([pixels for _, pixels in found]), expected)


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp"])
def test_pixels_are_those_of_the_file(
    tmp_path: Path, file_format: Literal["jpeg", "png", "webp"]
) -> None:
    catalog = Catalog(tmp_path)
    data = encode(picture(0), file_format, 95)
    rows = stored(catalog.standard(recipe(file_format).id), [data])
    ((_, pixels),) = standard_pictures(catalog, recipe(file_format), rows)
    assert np.array_equal(pixels[0], decode(data, Limits()).rgb)


def test_damaged_ones_are_named_and_the_others_come(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    jpeg, png = encode(picture(0), "jpeg", 95), encode(picture(0), "png", 95)
    other = encode(picture(0, (8, 8)), "png", 95)
    files = [png, jpeg[:-60], png[:-90], other, b"", b"none", png]
    rows = stored(catalog.standard(recipe().id), files)
    told: dict[str, str] = {}
    found = list(standard_pictures(catalog, recipe(), rows, batch=3, damaged=told.__setitem__))
    assert [items for items, _ in found] == [["item0"], ["item6"]]
    assert all(np.array_equal(pixels[0], picture(0)) for _, pixels in found)
    assert list(told) == [f"item{n}" for n in range(1, 6)]
    assert told["item3"] == "is 8×8 px, must be 12×20 (width × height)"
    assert all("cannot be decoded" in told[f"item{n}"] for n in (1, 2, 4, 5))


def test_a_lost_pack_is_an_error(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    store = catalog.standard(recipe().id)
    rows = stored(store, [encode(picture(0), "png", 95)])
    store.remove(rows["pack"][0].as_py())
    with pytest.raises(StorageError, match="missing"):
        list(standard_pictures(catalog, recipe(), rows))


def test_no_more_is_decoded_than_two_batches_ahead(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    store = catalog.standard(recipe().id)
    rows = stored(store, [encode(picture(seed), "png", 95) for seed in range(12)])
    stream = standard_pictures(catalog, recipe(), rows, batch=2, workers=1)
    next(stream)
    for pack in store.packs()[2:]:  # of the seventh picture and all later ones
        store.remove(pack)
    for _ in range(2):
        next(stream)
    with pytest.raises(StorageError):
        next(stream)


def test_threads_end_with_the_stream(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    files = [encode(picture(seed), "png", 95) for seed in range(9)]
    rows = stored(catalog.standard(recipe().id), files)
    stream = standard_pictures(catalog, recipe(), rows, batch=1, workers=2)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_no_rows_give_nothing(tmp_path: Path) -> None:
    rows = stored(Catalog(tmp_path).standard(recipe().id), [b"x"]).slice(0, 0)
    assert list(standard_pictures(Catalog(tmp_path), recipe(), rows)) == []
