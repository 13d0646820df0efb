"""One image, everything that is done for it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

from curation.item import Item, process
from curation.judging import Rules, judge_images
from curation.recipe import Detector, Limits, Recipe
from data_catalog.schema import FEATURES, Reason
from tests.curation.faces import draw_face

Pixels = NDArray[np.uint8]
RECIPE = Recipe(width=96, height=128)


def png(rgb: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def run(data: bytes, recipe: Recipe = RECIPE) -> list[Item]:
    return process(hashlib.sha256(data).hexdigest(), data, recipe, Limits())


def test_the_row_fits_the_schema_and_the_bytes_are_what_it_says(photograph: Pixels) -> None:
    data = png(photograph)
    (item,) = run(data)
    row = pa.Table.from_pylist([item.row], schema=FEATURES).to_pylist()[0]
    assert set(item.row) <= set(FEATURES.names)
    assert row["item_id"] == row["image_id"] == hashlib.sha256(data).hexdigest()
    assert (row["width"], row["height"], row["format"], row["mode"]) == (180, 240, "PNG", "RGB")
    assert row["file_bytes"] == len(data)
    assert row["failure"] is None
    assert row["upscale"] == pytest.approx(96 / 180)
    assert item.image is not None
    assert item.thumb is not None
    assert row["standard_hash"] == blake3(item.image).hexdigest()
    assert Image.open(io.BytesIO(item.image)).size == (96, 128)
    assert max(Image.open(io.BytesIO(item.thumb)).size) <= 160
    unknown = {
        "failure",
        "detail",
        "limits",
        "pack",
        "offset",
        "length",
        "thumb_offset",
        "thumb_length",
    }
    subject = {name for name in FEATURES.names if name.startswith("subject_")}
    subject |= {"centre_offset", "fill", "edges_touched"}
    missing = {name for name, value in row.items() if value is None}
    assert missing <= unknown | subject


def test_the_same_bytes_give_the_same_item(photograph: Pixels) -> None:
    assert run(png(photograph)) == run(png(photograph))


def test_a_picture_that_cannot_be_used_is_one_failed_item() -> None:
    (item,) = run(b"<html>404</html>")
    assert item.image is None
    assert item.row["failure"] == Reason.NOT_AN_IMAGE.value
    assert "HTML" in item.row["detail"]


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 3_000), (2, 2)])
def test_extreme_shapes_give_an_item(size: tuple[int, int]) -> None:
    (item,) = run(png(np.full((size[1], size[0], 3), 128, np.uint8)))
    assert item.row.get("failure") is None
    assert item.image is not None
    assert Image.open(io.BytesIO(item.image)).size == (96, 128)


def test_a_cascade_cuts_items_out() -> None:
    detector = Detector(cascade="haarcascade_frontalface_alt", min_neighbors=3, min_size=60)
    recipe = RECIPE.model_copy(update={"detector": detector})
    two = np.concatenate([draw_face(), draw_face(300)[:, ::-1]], axis=1)
    items = run(png(two), recipe)
    assert len(items) == 2
    ids = {str(item.row["item_id"]) for item in items}
    assert len(ids) == 2
    for item in items:
        image_id, box = str(item.row["item_id"]).split("#")
        assert image_id == item.row["image_id"]
        _, _, width, height = (int(part) for part in box.split(","))
        assert (item.row["width"], item.row["height"]) == (width, height)
    (nothing,) = run(png(np.full((100, 100, 3), 90, np.uint8)), recipe)
    assert nothing.row["failure"] == Reason.NOTHING_DETECTED.value


def test_fixed_background_shows_through_transparency() -> None:
    clear = np.zeros((64, 48, 4), np.uint8)
    recipe = RECIPE.model_copy(update={"background": (0, 128, 0), "format": "png"})
    buffer = io.BytesIO()
    Image.fromarray(clear).save(buffer, "PNG")
    (item,) = run(buffer.getvalue(), recipe)
    assert item.image is not None
    assert np.asarray(Image.open(io.BytesIO(item.image)))[64, 48].tolist() == [0, 128, 0]


def test_recipes_of_one_id_differ_only_in_inversion() -> None:
    assert RECIPE.id == RECIPE.model_copy(update={"invert": "always"}).id
    for change in ({"width": 104}, {"fit": "crop"}, {"quality": 90}, {"background": (0, 0, 0)}):
        assert RECIPE.id != RECIPE.model_copy(update=change).id


def test_real_photographs_are_taken_whole_and_none_for_a_placeholder(
    real_photographs: list[Path],
) -> None:
    items = [run(path.read_bytes(), Recipe())[0] for path in real_photographs[::100]]
    for item in items:
        assert item.row.get("failure") is None
        assert item.image is not None
        assert Image.open(io.BytesIO(item.image)).size == (384, 512)
    features = pa.Table.from_pylist([item.row for item in items], schema=FEATURES)
    found = judge_images(features, Rules()).masks
    for reason in (Reason.BLANK, Reason.MONOCHROME, Reason.TOO_SMALL):
        assert not found[reason].any()
