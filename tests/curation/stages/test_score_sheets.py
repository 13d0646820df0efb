"""Contact sheets show the outermost, and go with a picture that is taken down."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from curation.recipe import Recipe
from curation.report.score_sheet import ITEMS, draw_sheet
from curation.stages.ranking import standing
from curation.stages.score_sheets import SHOWN, sheet_paths, write_sheets
from curation.standardize import encode
from data_catalog.catalog import Catalog
from data_catalog.forgetting import forget
from data_catalog.schema import FEATURES
from tests.curation.stages.test_scores import scored

RECIPE = Recipe(width=12, height=16, format="png")
MODEL = "v1-tiny@kimg-000001.000"


def grey(value: int, size: tuple[int, int] = (16, 12)) -> NDArray[np.uint8]:
    return np.full((*size, 3), value, np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "tile"), [((16, 12), (32, 24)), ((512, 384), (160, 120)), ((120, 160), (120, 160))]
)
def test_tiles_are_small_and_stay_in_shape(size: tuple[int, int], tile: tuple[int, int]) -> None:
    sheet = opened(draw_sheet([grey(255, size), grey(0, size)], [("a",), ("b",)], ["x", "y"]))
    pixels = np.asarray(sheet)
    assert sheet.text[ITEMS] == "x y"  # type: ignore[attr-defined]
    assert (pixels[8 : 8 + tile[0], 8 : 8 + tile[1]] == 255).all()
    assert not (pixels[8 + tile[0], 8 : 8 + tile[1]] == 255).all()
    assert (pixels == 0).all(-1).sum() >= tile[0] * tile[1]


def catalog_of(folder: Path, count: int) -> tuple[Catalog, list[str]]:
    catalog = Catalog(folder)
    items = [f"{n:064x}" for n in range(count)]
    rows = []
    with catalog.standard(RECIPE.id).writer() as writer:
        for n, item in enumerate(items):
            ref = writer.add(item, encode(grey(n), "png", 95))
            place = {"pack": ref.pack, "offset": ref.offset, "length": ref.length}
            rows.append({"item_id": item, "image_id": item, "recipe": RECIPE.id, **place})
    catalog.table("features").append(pa.Table.from_pylist(rows, schema=FEATURES))
    return catalog, items


def shown(path: str) -> list[str]:
    with Image.open(path) as sheet:
        return str(sheet.text[ITEMS]).split()  # type: ignore[attr-defined]


def test_the_outermost_come_first(tmp_path: Path) -> None:
    catalog, items = catalog_of(tmp_path, SHOWN + 5)
    scores = scored({item: float(n) for n, item in enumerate(items)}, MODEL)
    written = write_sheets(catalog, RECIPE, MODEL, standing(catalog, scores))
    paths = sheet_paths(MODEL)
    assert written == {name: catalog.root.join(path) for name, path in paths.items()}
    assert shown(written["lowest"]) == items[:SHOWN]
    assert shown(written["highest"]) == items[::-1][:SHOWN]


def test_what_is_gone_is_left_out_and_without_pictures_there_is_no_sheet(tmp_path: Path) -> None:
    catalog, items = catalog_of(tmp_path, 2)
    scores = scored({items[0]: 0.0, items[1]: 1.0, "f" * 64: 2.0}, MODEL, standard_error=None)
    written = write_sheets(catalog, RECIPE, MODEL, standing(catalog, scores))
    assert shown(written["highest"]) == items[::-1]
    assert write_sheets(catalog, RECIPE, MODEL, standing(catalog, scored({}, MODEL))) == {}
    assert not catalog.root.exists(sheet_paths(MODEL)["lowest"])


def test_a_takedown_takes_the_sheets_that_show_it(tmp_path: Path) -> None:
    catalog, items = catalog_of(tmp_path, SHOWN + 5)
    scores = scored({item: float(n) for n, item in enumerate(items)}, MODEL)
    catalog.table("scores").append(scores)
    write_sheets(catalog, RECIPE, MODEL, standing(catalog, scores))
    summary = forget(catalog, items[0], "asked to")
    paths = sheet_paths(MODEL)
    assert summary.reports == (paths["lowest"],)
    assert catalog.root.exists(paths["highest"])
    assert items[0] not in catalog.table("scores").read()["item_id"].to_pylist()
