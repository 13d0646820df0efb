"""Partitions of images become features and packs; what is hostile costs only itself."""

from __future__ import annotations

import io
import os
import signal
import time
from functools import partial

import pyarrow as pa
import pytest
from PIL import Image

from curation.pool import CHUNK, WorkerPool
from curation.recipe import Limits, Recipe
from curation.stages.standardize import (
    MAX_PARTITIONS,
    PARTITION,
    SMALLEST,
    commit,
    partitions,
    rows_of_killer,
    standardize_rows,
)
from data_catalog.errors import StorageError
from data_catalog.packs import PackRef
from tests.curation.stages.conftest import RECIPE, HostilePool, Stock, jpeg


def test_each_image_once_and_never_again(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(5)} | {"bad": b"\xff\xd8\xff\xe0 no"})
    told: list[int] = []
    counts = stock.standardize(progress=told.append)
    assert (counts.images, counts.items, counts.failed) == (6, 6, 1)
    assert sum(told) == 6
    assert stock.pending().num_rows == 0
    assert stock.standardize().images == 0
    store = stock.catalog.standard(RECIPE.id)
    assert len(store.packs()) == 1
    assert stock.catalog.table("features").version() == 0
    for name, row in stock.features().items():
        assert row["recipe"] == RECIPE.id
        if name == "bad":
            assert (row["failure"], row["pack"]) == ("corrupt", None)
            continue
        image = store.read(PackRef(row["pack"], row["offset"], row["length"]))
        thumb = store.read(PackRef(row["pack"], row["thumb_offset"], row["thumb_length"]))
        assert Image.open(io.BytesIO(image)).size == (96, 128)
        assert Image.open(io.BytesIO(thumb)).size == (120, 160)


def test_new_images_and_new_recipes_are_pending(stock: Stock) -> None:
    stock.store({"a": jpeg(1), "b": jpeg(2)})
    stock.standardize()
    stock.store({"c": jpeg(3)})
    assert stock.pending()["image_id"].to_pylist() == [stock.ids["c"]]
    assert stock.pending(Recipe(width=64, height=64)).num_rows == 3
    assert stock.pending(RECIPE.model_copy(update={"invert": "always"})).num_rows == 1


def test_pending_is_in_the_order_of_the_packs_without_doubles(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(6)})
    images = stock.catalog.table("images")
    images.append(images.read())  # as after a kill between two commits
    rows = stock.pending()
    assert rows.num_rows == 6
    places = list(zip(rows["pack"].to_pylist(), rows["offset"].to_pylist(), strict=True))
    assert places == sorted(places)
    # What is not in the set is not worked on.
    del stock.ids["0"]
    assert stock.pending().num_rows == 5


@pytest.mark.parametrize("count", [0, 1, PARTITION, PARTITION + 1, PARTITION * MAX_PARTITIONS + 1])
def test_partitions_cover_everything_and_are_not_too_many(count: int) -> None:
    parts = list(partitions(pa.table({"image_id": pa.array(range(count), pa.int64())})))
    assert sum(part.num_rows for part in parts) == count
    assert len(parts) <= MAX_PARTITIONS
    assert len(parts) == min(-(-count // PARTITION), MAX_PARTITIONS)
    assert [n for part in parts for n in part["image_id"].to_pylist()] == list(range(count))


@pytest.mark.parametrize(("count", "processors"), [(1000, 3), (10, 8), (100_000, 3), (0, 2)])
def test_partitions_of_a_cluster_keep_all_of_it_busy(count: int, processors: int) -> None:
    parts = list(partitions(pa.table({"image_id": pa.array(range(count), pa.int64())}), processors))
    assert [n for part in parts for n in part["image_id"].to_pylist()] == list(range(count))
    sizes = [part.num_rows for part in parts]
    assert all(size == sizes[0] for size in sizes[:-1])
    assert all(size <= PARTITION for size in sizes)
    assert len(parts) >= min(4 * processors, -(-count // SMALLEST)) - 1


def test_a_worker_of_a_cluster_gives_the_rows_that_a_partition_commits(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(5)} | {"bad": b"\xff\xd8\xff\xe0 no"})
    images = stock.pending()
    parts = [images.slice(0, 3), images.slice(3), images.slice(0, 0)]
    rows = [standardize_rows(stock.catalog, RECIPE, Limits(), part) for part in parts]
    assert [part.num_rows for part in rows] == [3, 3, 0]
    assert stock.pending().num_rows == 6  # nothing is committed, the packs are there
    assert len(stock.catalog.standard(RECIPE.id).packs()) == 2
    stock.standardize()
    kept = stock.catalog.table("features").read().drop_columns(["pack", "offset", "thumb_offset"])
    given = pa.concat_tables(rows).select(kept.column_names)
    assert given.sort_by("item_id").equals(kept.sort_by("item_id"))


def test_a_worker_of_a_cluster_goes_on_after_an_error(stock: Stock) -> None:
    stock.store({"a": jpeg(1)})
    images = stock.pending()
    wrong = images.set_column(1, "pack", pa.array(["pack-0-0.tar"]))
    for _ in range(2):
        with pytest.raises(StorageError, match=r"pack-0-0\.tar: No such file"):
            standardize_rows(stock.catalog, RECIPE, Limits(), wrong)
    counts = commit(stock.catalog, standardize_rows(stock.catalog, RECIPE, Limits(), images))
    assert (counts.images, counts.items, counts.failed) == (1, 1, 0)


def test_who_kills_whole_workers_is_given_up(stock: Stock) -> None:
    stock.store({"a": jpeg(1), "b": jpeg(2)})
    counts = commit(stock.catalog, rows_of_killer(RECIPE, Limits(), stock.pending()))
    assert (counts.images, counts.items, counts.failed) == (2, 2, 2)
    assert {row["failure"] for row in stock.features().values()} == {"crashed_worker"}
    assert stock.pending().num_rows == 0


def test_more_processes_give_the_same_rows(stock: Stock, tmp_path: object) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(2 * CHUNK + 3)})
    stock.standardize(pool=WorkerPool(2))
    two = stock.catalog.table("features").read()
    stock.catalog.table("features").replace(two.slice(0, 0))
    stock.standardize(pool=WorkerPool(1))
    one = stock.catalog.table("features").read()
    assert one.drop_columns(["pack"]).equals(two.drop_columns(["pack"]))


def test_a_crash_and_a_hang_cost_only_themselves(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(8)})
    attacks = {
        stock.ids["2"]: partial(signal.raise_signal, signal.SIGSEGV),
        stock.ids["4"]: partial(os._exit, 7),
        stock.ids["6"]: partial(time.sleep, 600),
    }
    limits = Limits(seconds=2.0)
    counts = stock.standardize(limits=limits, pool=HostilePool(attacks))
    assert (counts.images, counts.items, counts.failed) == (8, 8, 3)
    rows = stock.features()
    found = {name: row["failure"] for name, row in rows.items() if row["failure"]}
    assert found == {"2": "crashed_worker", "4": "crashed_worker", "6": "timed_out"}
    assert "exit code 7" in rows["4"]["detail"]
    assert "2 s" in rows["6"]["detail"]
    assert stock.pending(limits=limits).num_rows == 0


def test_a_picture_that_takes_too_long_is_given_up(stock: Stock) -> None:
    stock.store({"slow": jpeg(1), "quick": jpeg(2)})
    short = Limits(seconds=2.0)
    never_ends = partial(time.sleep, 600)
    stock.standardize(limits=short, pool=HostilePool({stock.ids["slow"]: never_ends}))
    rows = stock.features()
    assert rows["slow"]["failure"] == "timed_out"
    assert rows["quick"]["failure"] is None
    # It is not tried again, unless it is given more time.
    assert stock.pending(limits=short).num_rows == 0
    assert stock.pending()["image_id"].to_pylist() == [stock.ids["slow"]]


def test_a_killed_partition_is_done_again_and_no_other(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(2 * CHUNK)})
    images = stock.pending()
    stock.standardize(images.slice(0, CHUNK))
    seen = 0

    def stop(steps: int) -> None:
        nonlocal seen
        seen += steps
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stock.standardize(images.slice(CHUNK), progress=stop)
    assert stock.catalog.table("features").read().num_rows == CHUNK
    assert len(stock.catalog.standard(RECIPE.id).packs()) == 1  # nothing of it is left
    assert stock.catalog.standard(RECIPE.id).root.ls() == stock.catalog.standard(RECIPE.id).packs()
    assert stock.standardize().images == CHUNK
    ids = stock.catalog.table("features").read()["item_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 2 * CHUNK
