"""What people say of a picture holds for its copies with the very same pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_catalog.catalog import Catalog

Words = Mapping[str, Mapping[str, Any]]


def with_copies(said: Words, catalog: Catalog, features: pa.Table) -> dict[str, Mapping[str, Any]]:
    """Give what is said of each item: its own word, else the latest on a copy of it.

    What was said of a picture that is no longer offered, or of one that an older recipe measured,
    holds for its copies as well.

    Parameters
    ----------
    said
        Rows of decisions by item_id.
    features : pyarrow.Table
        item_id and pixel_hash of the items to be judged now.
    """
    if not said:
        return {}
    is_said = pc.field("item_id").isin(list(said))
    now = _pixels(features)
    ever = _pixels(catalog.table("features").read(["item_id", "pixel_hash"], where=is_said))
    pixels = {item_id: now.get(item_id, pixel_hash) for item_id, pixel_hash in ever.items()}
    in_time = sorted(pixels, key=lambda item_id: (said[item_id]["decided_at"], item_id))
    by_pixels = {pixels[item_id]: said[item_id] for item_id in in_time}
    copies = {item_id: by_pixels[pixels] for item_id, pixels in now.items() if pixels in by_pixels}
    # Its own word first: of two copies, people keep one and reject the other.
    return {**copies, **said}


def _pixels(features: pa.Table) -> dict[str, bytes]:
    """Give pixel hashes by item_id, of items that have a picture."""
    rows = features.select(["item_id", "pixel_hash"]).filter(pc.is_valid(features["pixel_hash"]))
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
