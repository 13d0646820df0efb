"""A small published version, made in no time, and what makes a training on it take seconds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from blake3 import blake3

from curation.synthetic.drawing import encode
from data_catalog.catalog import Catalog
from data_catalog.versions import Version, publish
from tests.flows.world import World

SIZE: Final = (16, 12)
RECIPE: Final = "12x16-test"
MANIFEST: Final[dict[str, Any]] = {
    "recipe": {"width": SIZE[1], "height": SIZE[0], "format": "png"},
    "inverted": False,
    "format": "png",
    "width": SIZE[1],
    "height": SIZE[0],
}

# As `[train]` has it: nothing that costs time, and all that makes a run tell what it did.
TRAIN: Final[dict[str, Any]] = {
    "preset": "tiny",
    "network": {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8},
    "run": {"total_kimg": 0.032, "tick_kimg": 0.016, "grid": 4, "log_steps": True, "device": "cpu"},
}

# A local disk takes any; what matters is who gets to see them.
OPTIONS: Final = {"key": "anna", "secret": "TOPSECRET"}


def publish_pictures(
    root: Path, count: int = 16, first: int = 0, split: str | None = None
) -> Version:
    """Publish noise, without any of the steps that come before."""
    catalog = Catalog(root)
    members = []
    with catalog.standard(RECIPE).writer() as packs:
        for number in range(first, first + count):
            pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            data = encode(pixels, ".png")
            item = hashlib.sha256(data).hexdigest()
            place = packs.add(f"{item}.png", data)
            members.append(
                {
                    "item_id": item,
                    "image_id": item,
                    "label": ["dress", "shirt"][number % 2],
                    "tags": ["pov"] if number % 4 == 0 else [],
                    "fields": json.dumps({}),
                    "pack": place.pack,
                    "offset": place.offset,
                    "length": place.length,
                    "standard_hash": blake3(data).hexdigest(),
                }
            )
    table, manifest = pa.Table.from_pylist(members), {**MANIFEST, "split": split}
    return publish(catalog, table, recipe_id=RECIPE, manifest=manifest, build="test")


def world_in(folder: Path) -> World:
    """Make a dataset with one published version; what it starts is started without Prefect."""
    publish_pictures(folder / "catalog")
    world = World(folder, raw={"rules": {}, "train": TRAIN})
    world.write_config(
        dataset={"name": "shoes", "root": "catalog", "storage_options": dict(OPTIONS)}
    )
    return world
