"""How fast a version is published, beside writing the same bytes in a row to the same disk.

Publishing reads every picture from its pack, checks its BLAKE3, writes tar members, computes the
SHA-256 of every shard, and has all of it on the disk before the version exists. The other side
writes as many bytes to one file and waits for the disk; nothing is cheaper.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from blake3 import blake3

from benchmarks.common import Row, fresh, median, say, settle
from data_catalog.catalog import Catalog
from data_catalog.versions import MEMBERS_IN, publish

REACH: Final = 200.0  # MB/s
REPEATS: Final = 5

_ITEMS: Final = 16_000
_BYTES: Final = 55_000  # about what a photograph of 384×512 takes at quality 95, 4:4:4
_RECIPE: Final = "384x512-bench"
_PIECE: Final = 1 << 20


def prepare(catalog: Catalog, items: int = _ITEMS) -> pa.Table:
    """Fill packs with random bytes of the sizes of photographs; gives the members."""
    rng = np.random.default_rng(5)
    store = catalog.standard(_RECIPE)
    rows: list[dict[str, Any]] = []
    writer = store.writer()
    for number, size in enumerate(rng.integers(_BYTES // 2, _BYTES * 3 // 2, items)):
        data = rng.bytes(int(size))
        name = f"{number:064x}"
        ref = writer.add(name, data)
        rows.append(
            {
                "item_id": name,
                "image_id": name,
                "label": "shirt",
                "tags": [],
                "fields": None,
                "pack": ref.pack,
                "offset": ref.offset,
                "length": ref.length,
                "standard_hash": blake3(data).hexdigest(),
            }
        )
        if writer.full:
            writer.close()
            writer = store.writer()
    writer.close()
    return pa.Table.from_pylist(rows, schema=MEMBERS_IN)


def published(catalog: Catalog, members: pa.Table, number: int) -> tuple[int, float]:
    """Publish a version that was not there yet; bytes of its shards, and seconds."""
    # The recipe is part of the content's hash: another one makes another version.
    manifest = {"recipe": {"repeat": number}, "inverted": False, "format": "jpeg"}
    began = time.perf_counter()
    version = publish(catalog, members, recipe_id=_RECIPE, manifest=manifest, build="bench")
    seconds = time.perf_counter() - began
    size = sum(int(shard["bytes"]) for shard in version.manifest["shards"])
    shutil.rmtree(version.path)
    return size, seconds


def plain_write(folder: Path, size: int) -> float:
    """Write random bytes one after the other, and wait for the disk; seconds."""
    piece = np.random.default_rng(6).bytes(_PIECE)
    path = folder / "plain.bin"
    began = time.perf_counter()
    with path.open("xb", buffering=0) as file:
        for start in range(0, size, _PIECE):
            file.write(piece[: size - start])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds


def run() -> list[Row]:
    """Publish and write in turn."""
    folder = fresh("shards")
    say(f"shards: {_ITEMS} pictures of {_BYTES} bytes on average, {REPEATS} times")
    catalog = Catalog(folder / "catalog")
    members = prepare(catalog)
    ours, plain = [], []
    for number in range(REPEATS):
        settle()
        size, seconds = published(catalog, members, number)
        ours.append(size / seconds / 1e6)
        settle()
        plain.append(size / plain_write(folder, size) / 1e6)
        say(f"  published at {ours[-1]:.0f} MB/s, plain write at {plain[-1]:.0f} MB/s")
    shutil.rmtree(folder)
    rate, disk = median(ours), median(plain)
    return [
        Row(
            f"publish {size / 1e9:.1f} GB of shards",
            f"{rate:,.0f} MB/s",
            f"plain write + fsync: {disk:,.0f} MB/s",
            f"{rate / disk:.2f}",
            f"≥ {REACH:.0f} MB/s or the disk's speed",
            rate >= min(REACH, disk),
            {"ours_mb_s": ours, "plain_mb_s": plain, "bytes": size},
        )
    ]
