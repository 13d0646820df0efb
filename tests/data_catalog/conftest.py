from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from PIL import Image

from data_catalog.catalog import Catalog

# A server that has imported what children need forks each of them in no time, and forks before
# any library has started a thread.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.data_catalog.conftest", "data_catalog.forgetting"])

RECIPE = "32x48-test"
MANIFEST: dict[str, Any] = {
    "recipe": {"width": 32, "height": 48, "format": "png"},
    "inverted": False,
    "format": "png",
    "width": 32,
    "height": 48,
}


def picture(number: int, image_format: str = "png", size: tuple[int, int] = (48, 32)) -> bytes:
    """Noise, so that no picture's bytes are found inside another's."""
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, image_format)
    return sink.getvalue()


def fill(catalog: Catalog, numbers: range, image_format: str = "png", crops: int = 0) -> pa.Table:
    """Store pictures as a rebuild would: packs first, then rows; give the members of a version.

    The first of them has `crops` items cut out of it in place of one.
    """
    images: list[dict[str, Any]] = []
    features: list[dict[str, Any]] = []
    observations: list[dict[str, Any]] = []
    with catalog.raw.writer() as raw, catalog.standard(RECIPE).writer() as standard:
        for number in numbers:
            original = b"original " + picture(number, "png")
            image_id = hashlib.sha256(original).hexdigest()
            ref = raw.add(image_id, original)
            images.append(
                {"image_id": image_id, "bytes": len(original), "pack": ref.pack}
                | {"offset": ref.offset, "length": ref.length}
            )
            boxes = [f"#{i},0,10,10" for i in range(crops)] if number == numbers[0] else []
            for i, box in enumerate(boxes or [""]):
                item_id = image_id + box
                data = picture(1_000_000 + 100 * number + i, image_format)
                thumb = picture(2_000_000 + 100 * number + i, "jpeg", (16, 12))
                place = standard.add(f"{item_id}.{image_format}", data)
                small = standard.add(f"{item_id}.thumb.jpg", thumb)
                features.append(
                    {
                        "item_id": item_id,
                        "image_id": image_id,
                        "recipe": RECIPE,
                        "pack": place.pack,
                        "offset": place.offset,
                        "length": place.length,
                        "thumb_offset": small.offset,
                        "thumb_length": small.length,
                        "standard_hash": blake3(data).hexdigest(),
                    }
                )
            observations.append(
                {
                    "source": "test",
                    "locator": f"{number}.png",
                    "revision": "1",
                    "fields": json.dumps({"number": number}),
                    "label": ["dress", "shirt", None][number % 3],
                    "tags": ["b", "a"],
                    "image_id": image_id,
                    "observed_at": datetime(2026, 1, 1, tzinfo=UTC),
                }
            )
    for name, rows in (("images", images), ("features", features), ("observations", observations)):
        table = catalog.table(name)
        table.append(pa.Table.from_pylist(rows, schema=table.schema))
    by_image = {row["image_id"]: row for row in observations}
    members = [
        {
            **{name: by_image[row["image_id"]][name] for name in ("label", "tags", "fields")},
            **{name: row[name] for name in ("item_id", "image_id", "pack", "offset", "length")},
            "standard_hash": row["standard_hash"],
        }
        for row in features
    ]
    return pa.Table.from_pylist(members)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "root")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
