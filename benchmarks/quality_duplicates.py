"""Measure how well near-duplicates, mirrored copies and colourways are found among photographs.

Copies are planted among all photographs of a folder; candidates, comparison and grouping then run
as they do in a rebuild. Printed: recall for each kind with 95% Wilson intervals, photographs merged
with another photograph, and how colourways are told apart. `--sheet` draws those merges, for
somebody to look at: many collections hold real duplicates.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import planting
from curation.fingerprints import fingerprint, pixel_hash, plain_subject
from curation.grouping import DuplicateRules, candidates, group
from curation.registration import Prepared, compare, prepare
from data_catalog.schema import FEATURES, PAIRS

COLUMNS = [
    "item_id",
    "width",
    "height",
    "pixel_hash",
    "phash",
    "phash_mirrored",
    "phash256",
    "phash_variants",
    "colour_signature",
    "silhouette",
]


@dataclass
class Item:
    """One picture of the experiment. `kind` is empty for a photograph."""

    item_id: str
    source: str
    kind: str
    row: dict[str, object]
    prepared: Prepared
    thumb: NDArray[np.uint8]


def main(arguments: list[str] | None = None) -> int:
    """Run the experiment and print what was found."""
    options = _options(arguments)
    cv2.setNumThreads(1)
    if not options.photographs.is_dir():
        print(f"skipped: no photographs at {options.photographs}; set NONESUCH_REAL_DATA")
        return 0
    began = time.perf_counter()
    items = list(_items(options))
    print(f"{len(items):,} pictures prepared in {time.perf_counter() - began:.0f} s")
    table = _table(items)
    config = DuplicateRules()
    began = time.perf_counter()
    i, j = candidates(table, config)
    seconds = time.perf_counter() - began
    print(f"{len(i):,} candidate pairs in {seconds:.1f} s")
    began = time.perf_counter()
    pairs = _pairs(items, i, j)
    seconds = time.perf_counter() - began
    print(f"compared in {seconds:.1f} s, {seconds / max(1, len(i)) * 1e3:.2f} ms a pair")
    groups = group(table, pairs, config=config)
    merged = _report(items, groups, pairs, set(zip(i.tolist(), j.tolist(), strict=True)))
    if options.sheet:
        _draw(options.sheet, merged)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    data = os.environ.get("NONESUCH_REAL_DATA", "../shared/data/clothing")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, default=Path(data) / "images")
    parser.add_argument("--limit", type=int, default=0, help="photographs to use; 0 = all")
    parser.add_argument("--planted", type=int, default=100, help="copies of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="PNG of photographs merged with another")
    return parser.parse_args(arguments)


def _items(options: argparse.Namespace) -> Iterator[Item]:
    rng = np.random.default_rng(options.seed)
    paths = sorted(options.photographs.glob("*.jpg"))[: options.limit or None]
    order = rng.permutation(len(paths))
    plan: dict[int, list[str]] = defaultdict(list)
    for number, kind in enumerate(planting.NEAR_DUPLICATES):
        for k in range(options.planted):
            plan[int(order[(number * options.planted + k) % len(order)])].append(kind)
    plain = 0
    for number, path in enumerate(paths):
        bgr = cv2.imread(str(path))
        if bgr is None:
            continue
        rgb = np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False)
        yield _item(path.stem, path.stem, "", rgb)
        kinds = list(plan[number])
        if plain < options.planted and plain_subject(_shrunk(rgb, 192)).any():
            plain += 1
            kinds.append("colourway")
        for kind in kinds:
            change = planting.NEAR_DUPLICATES.get(kind, planting.colourway)
            copy = change(rgb, rng)
            if kind != "reencode":
                quality = int(rng.integers(75, 96))
                copy = planting.from_jpeg(planting.to_jpeg(copy, quality))
            yield _item(f"{path.stem}~{kind}", path.stem, kind, copy)


def _shrunk(rgb: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    factor = min(1.0, longest / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _item(item_id: str, source: str, kind: str, rgb: NDArray[np.uint8]) -> Item:
    thumb = planting.from_jpeg(planting.to_jpeg(_shrunk(rgb, 160), 85))
    row: dict[str, object] = {
        "item_id": item_id,
        "width": rgb.shape[1],
        "height": rgb.shape[0],
        "pixel_hash": pixel_hash(rgb),
        **fingerprint(_shrunk(rgb, 192)).to_row(),
    }
    return Item(item_id, source, kind, row, prepare(thumb), thumb)


def _table(items: list[Item]) -> pa.Table:
    schema = pa.schema([FEATURES.field(name) for name in COLUMNS])
    return pa.Table.from_pylist([item.row for item in items], schema=schema)


def _pairs(items: list[Item], i: NDArray[np.int64], j: NDArray[np.int64]) -> pa.Table:
    rows = []
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        first, second = sorted((items[a], items[b]), key=lambda item: item.item_id)
        found = compare(first.prepared, second.prepared)
        rows.append(
            {
                "recipe": "quality",
                "item_a": first.item_id,
                "item_b": second.item_id,
                "relation": found.relation.value,
                "distance": found.distance,
            }
        )
    return pa.Table.from_pylist(rows, schema=PAIRS)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95% interval of a share (doi:10.1080/01621459.1927.10502953)."""
    if not count:
        return 0.0, 1.0
    z = 1.96
    share, scale = hits / count, 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def _report(
    items: list[Item], groups: pa.Table, pairs: pa.Table, proposed: set[tuple[int, int]]
) -> list[tuple[Item, Item]]:
    by_id = {item.item_id: item for item in items}
    place = {item.item_id: number for number, item in enumerate(items)}
    keeper = {row["item_id"]: row["duplicate_of"] or row["item_id"] for row in groups.to_pylist()}
    seen, joined, compared = Counter[str](), Counter[str](), Counter[str]()
    for item in items:
        if item.kind and item.kind != "colourway":
            seen[item.kind] += 1
            joined[item.kind] += keeper[item.item_id] == keeper[item.source]
            a, b = sorted((place[item.item_id], place[item.source]))
            compared[item.kind] += (a, b) in proposed
    print(f"\n{'kind':22s}{'planted':>8s}{'proposed':>9s}{'merged':>8s}{'recall':>8s}   95%")
    for kind in seen:
        _line(kind, seen[kind], compared[kind], joined[kind])
    _line("all", seen.total(), compared.total(), joined.total())
    _report_colourways(items, keeper, pairs)
    stars: dict[str, dict[str, Item]] = defaultdict(dict)
    for item_id, own in keeper.items():
        stars[own].setdefault(by_id[item_id].source, by_id[item_id])
    merged = [
        (by_id[first], by_id[other])
        for star in stars.values()
        if len(star) > 1
        for first, *others in [sorted(star)]
        for other in others
    ]
    photographs = sum(not item.kind for item in items)
    print(f"\nphotographs merged with another photograph: {len(merged)} of {photographs:,}")
    for first, other in merged:
        print(f"  {first.item_id}  {other.item_id}")
    return merged


def _line(kind: str, count: int, proposed: int, hits: int) -> None:
    low, high = wilson(hits, count)
    share = hits / max(1, count)
    print(f"{kind:22s}{count:8,d}{proposed:9,d}{hits:8,d}{share:8.4f}   {low:.4f} to {high:.4f}")


def _report_colourways(items: list[Item], keeper: dict[str, str], pairs: pa.Table) -> None:
    relation = {(row["item_a"], row["item_b"]): row["relation"] for row in pairs.to_pylist()}
    copies = [item for item in items if item.kind == "colourway"]
    apart = sum(keeper[item.item_id] != keeper[item.source] for item in copies)
    found = Counter(relation.get((item.source, item.item_id), "not proposed") for item in copies)
    low, high = wilson(apart, len(copies))
    print(f"\ncolourways not merged: {apart} of {len(copies)}, {low:.4f} to {high:.4f}")
    for item in copies:
        if relation.get((item.source, item.item_id)) in ("same", "mirrored"):
            print(f"  taken for the same: {item.source}")
    print("judged as: " + ", ".join(f"{name} {count}" for name, count in found.most_common()))
    natural = Counter(
        row["relation"]
        for row in pairs.to_pylist()
        if "~" not in row["item_a"] and "~" not in row["item_b"]
    )
    print("natural pairs: " + ", ".join(f"{name} {count}" for name, count in natural.most_common()))


def _draw(path: Path, merged: list[tuple[Item, Item]]) -> None:
    tiles = []
    for pair in merged:
        tile = np.full((170, 330, 3), 255, np.uint8)
        for number, item in enumerate(pair):
            height, width = item.thumb.shape[:2]
            tile[5 : 5 + height, 5 + 163 * number : 5 + 163 * number + width] = item.thumb
        tiles.append(tile)
    if not tiles:
        tiles.append(np.full((170, 330, 3), 255, np.uint8))
    while len(tiles) % 4:
        tiles.append(np.full((170, 330, 3), 255, np.uint8))
    lines = [np.hstack(tiles[first : first + 4]) for first in range(0, len(tiles), 4)]
    cv2.imwrite(str(path), np.ascontiguousarray(np.vstack(lines)[..., ::-1]))
    print(f"sheet: {path}")


if __name__ == "__main__":
    sys.exit(main())
