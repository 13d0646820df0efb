"""A catalog of many images that were never drawn: rows as a rebuild leaves them, made in seconds.

The source folder holds tiny files, distinct and with true revisions, so that ingest has as much to
look at as in earnest. Whoever tried to decode one would fail. Measures, hashes and pairs are drawn
so that counts are like those of photographs: about two candidate pairs an item at 50,000.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.common import say, write_config
from curation.fingerprints import VARIANTS
from curation.grouping import DuplicateRules, candidates
from curation.ingest.files import revision_of
from curation.recipe import Recipe
from curation.registration import Relation
from curation.stages.relate import search_id
from curation.standardize import encode_thumb
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef
from data_catalog.schema import FEATURES, IMAGES, OBSERVATIONS, PAIRS

_A_FOLDER: Final = 500
_FAMILY: Final = 17  # items whose hashes are akin
_TURNED: Final = 4  # bits in which an item differs from its family's hash
_THUMBS: Final = 200


def make(folder: Path, count: int, seed: int = 3) -> Path:
    """Make a source of `count` files and a catalog that knows them all; gives the config's path."""
    rng = np.random.default_rng(seed)
    say(f"  drawing {count:,} synthetic images' rows")
    config = write_config(folder, folder / "images")
    catalog = Catalog(folder / "catalog")
    recipe = Recipe()
    ids, locators, revisions, sizes = _write_files(folder / "images", count)
    _add_images(catalog, ids, sizes)
    _add_observations(catalog, ids, locators, revisions)
    features = _features(rng, ids, recipe, _write_thumbs(catalog, recipe, rng))
    catalog.table("features").append(features)
    pairs = _pairs(rng, features, recipe)
    catalog.table("pairs").append(pairs)
    searched = {"recipe": [recipe.id] * count, "search": [search_id(DuplicateRules())] * count}
    catalog.table("searches").append(pa.table({**searched, "item_id": features["item_id"]}))
    say(f"  {pairs.num_rows:,} candidate pairs among them, judged already")
    return config


def _write_files(folder: Path, count: int) -> tuple[list[str], list[str], list[str], list[int]]:
    ids, locators, revisions, sizes = [], [], [], []
    for number in range(count):
        locator = f"{number // _A_FOLDER:04}/{number:07}.jpg"
        path = folder / locator
        if number % _A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        data = f"synthetic {number}".encode()
        path.write_bytes(data)
        ids.append(hashlib.sha256(data).hexdigest())
        locators.append(locator)
        revisions.append(revision_of(path.stat()))
        sizes.append(len(data))
    return ids, locators, revisions, sizes


def _add_images(catalog: Catalog, ids: list[str], sizes: list[int]) -> None:
    with catalog.raw.writer() as writer:
        ref = writer.add("shared", b"not a picture")
    count = len(ids)
    columns = {
        "image_id": ids,
        "bytes": sizes,
        "pack": [ref.pack] * count,
        "offset": [ref.offset] * count,
        "length": [ref.length] * count,
    }
    catalog.table("images").append(pa.table(columns, schema=IMAGES))


def _add_observations(
    catalog: Catalog, ids: list[str], locators: list[str], revisions: list[str]
) -> None:
    count = len(ids)
    now = datetime.now(UTC)
    nothing = [None] * count
    columns = {
        "source": ["photographs"] * count,
        "locator": locators,
        "revision": revisions,
        "fields": nothing,
        "label": nothing,
        "tags": nothing,
        "image_id": ids,
        "failure": nothing,
        "detail": nothing,
        "observed_at": [now + timedelta(microseconds=k) for k in range(count)],
    }
    catalog.table("observations").append(pa.table(columns, schema=OBSERVATIONS))


def _write_thumbs(catalog: Catalog, recipe: Recipe, rng: np.random.Generator) -> list[PackRef]:
    """Store some thumbnails, which all items share."""
    with catalog.standard(recipe.id).writer() as writer:
        refs = []
        for number in range(_THUMBS):
            coarse = rng.integers(0, 256, (8, 6, 3)).astype(np.uint8)
            picture = cv2.resize(coarse, (120, 160), interpolation=cv2.INTER_CUBIC)
            refs.append(writer.add(str(number), encode_thumb(np.asarray(picture, np.uint8))))
    return refs


def _features(
    rng: np.random.Generator, ids: list[str], recipe: Recipe, thumbs: list[PackRef]
) -> pa.Table:
    count = len(ids)

    def share(mean: float, spread: float) -> NDArray[np.float32]:
        return np.clip(rng.normal(mean, spread, count), 0, 1).astype(np.float32)

    def digests(size: int) -> list[bytes]:
        return [rng.bytes(size) for _ in range(count)]

    words, variants = _hashes(rng, count)
    outlined = rng.random(count) < 0.09
    left, top = share(0.1, 0.08), share(0.1, 0.08)
    border = rng.integers(0, 256, (3, count))
    place = [thumbs[k] for k in rng.integers(0, len(thumbs), count)]
    columns = {
        "item_id": ids,
        "image_id": ids,
        "recipe": [recipe.id] * count,
        "failure": pa.nulls(count, pa.string()),
        "detail": pa.nulls(count, pa.string()),
        "limits": pa.nulls(count, pa.string()),
        "format": ["JPEG"] * count,
        "mode": ["RGB"] * count,
        "orientation": np.ones(count, np.int32),
        "frames": np.ones(count, np.int32),
        "file_bytes": rng.integers(3_000, 60_000, count),
        "width": rng.choice([290, 400, 533], count, p=[0.02, 0.9, 0.08]).astype(np.int32),
        "height": rng.choice([400, 533, 711], count).astype(np.int32),
        "upscale": share(0.9, 0.05),
        "colours": np.full(count, 257, np.int32),
        "chroma": share(0.16, 0.07),
        "blankness": share(0.17, 0.12),
        "entropy": (7 * share(0.95, 0.05)).astype(np.float32),
        "sharpness": (2 * share(0.55, 0.15)).astype(np.float32),
        "border_red": border[0].astype(np.int32),
        "border_green": border[1].astype(np.int32),
        "border_blue": border[2].astype(np.int32),
        "border_uniformity": share(0.7, 0.2),
        "background_complexity": share(0.31, 0.2),
        "subject_left": left,
        "subject_top": top,
        "subject_right": 1 - left,
        "subject_bottom": 1 - top,
        "centre_offset": share(0.11, 0.1),
        "fill": share(0.6, 0.2),
        "edges_touched": rng.choice(4, count, p=[0.8, 0.15, 0.04, 0.01]).astype(np.int32),
        "pattern": share(0.15, 0.15),
        "pixel_hash": digests(32),
        "phash": words.view(np.int64),
        "phash_mirrored": rng.integers(-(1 << 62), 1 << 62, count),
        "phash256": digests(32),
        "phash_variants": [row.astype("<u8").tobytes() for row in variants],
        "colour_signature": digests(48),
        "silhouette": [rng.bytes(32) if have else b"" for have in outlined],
        "pack": [ref.pack for ref in place],
        "offset": [ref.offset for ref in place],
        "length": [ref.length for ref in place],
        "thumb_offset": [ref.offset for ref in place],
        "thumb_length": [ref.length for ref in place],
        "standard_hash": ids,
    }
    return pa.table(columns, schema=FEATURES)


def _hashes(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Draw hashes in families, and for each the hashes of its windows.

    A window's hash is 0 to 12 bits from the whole's, as with photographs: some 16 of the 51 pairs
    of a window and a query of the same photograph are within 6.
    """
    families = rng.integers(0, 1 << 63, -(-count // _FAMILY)).astype(np.uint64)
    words = _turned(rng, families[rng.integers(0, len(families), count)], _TURNED)
    variants = np.stack(
        [_turned(rng, words, 3 * (number % 5)) for number in range(VARIANTS)], axis=1
    )
    return words, variants


def _turned(rng: np.random.Generator, words: NDArray[np.uint64], times: int) -> NDArray[np.uint64]:
    turned = words.copy()
    for _ in range(times):
        turned ^= np.uint64(1) << rng.integers(0, 64, len(words)).astype(np.uint64)
    return turned


def _pairs(rng: np.random.Generator, features: pa.Table, recipe: Recipe) -> pa.Table:
    """Give the rows that comparing all candidates would have left."""
    first, second = candidates(features)
    ids = features["item_id"].to_numpy()
    a, b = ids[first], ids[second]
    count = len(a)
    relations = [Relation.DIFFERENT.value, Relation.SECOND_SHOT.value, Relation.SAME.value]
    columns = {
        "recipe": [recipe.id] * count,
        "search": [search_id(DuplicateRules())] * count,
        "item_a": np.where(a < b, a, b),
        "item_b": np.where(a < b, b, a),
        "relation": rng.choice(relations, count, p=[0.88, 0.1, 0.02]),
        "distance": rng.random(count).astype(np.float32),
    }
    return pa.table(columns, schema=PAIRS)
