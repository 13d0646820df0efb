"""Stage: contact sheets of the lowest and the highest of a ranking."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.recipe import Recipe
from curation.report.score_sheet import draw_sheet
from curation.stages.pictures import standard_pictures
from data_catalog.catalog import Catalog

FOLDER: Final = "rank"
SHOWN: Final = 48  # pictures on a sheet


def sheet_paths(model: str) -> dict[str, str]:
    """Say where the sheets of a model are, relative to the root."""
    return {name: f"{FOLDER}/{model}/{name}.png" for name in ("lowest", "highest")}


def remove_sheets(catalog: Catalog, model: str) -> None:
    """Remove the sheets of a model that counts no more."""
    catalog.root.remove(f"{FOLDER}/{model}")


def write_sheets(
    catalog: Catalog, recipe: Recipe, model: str, standing: pa.Table
) -> dict[str, str]:
    """Draw the lowest and the highest, each beginning with the outermost.

    Parameters
    ----------
    standing : pyarrow.Table
        From `curation.stages.ranking.standing`: lowest first.

    Returns
    -------
    dict
        Paths or URLs of the sheets, `lowest` and `highest`; none where there is no picture.
    """
    count = min(SHOWN, standing.num_rows)
    ends = {
        "lowest": standing.slice(0, count),
        "highest": standing.slice(standing.num_rows - count).take(np.arange(count)[::-1]),
    }
    written = {}
    for name, path in sheet_paths(model).items():
        drawn = _draw(catalog, recipe, ends[name]) if count else None
        if drawn is None:
            catalog.root.remove(path)
            continue
        catalog.root.write_bytes(path, drawn)
        written[name] = catalog.root.address(path)
    return written


def _draw(catalog: Catalog, recipe: Recipe, rows: pa.Table) -> bytes | None:
    pictures = _read(catalog, recipe, rows["item_id"].combine_chunks())
    shown = [row for row in rows.to_pylist() if row["item_id"] in pictures]
    if not shown:
        return None
    captions = [
        (
            f"{row['place']:.2f}%  {row['mean']:+.2f}",
            *([] if row["standard_error"] is None else [f"+-{row['standard_error']:.2g}"]),
            row["item_id"][:12],
        )
        for row in shown
    ]
    items = [row["item_id"] for row in shown]
    return draw_sheet([pictures[item] for item in items], captions, items)


def _read(catalog: Catalog, recipe: Recipe, items: pa.Array) -> dict[str, NDArray[np.uint8]]:
    where = (pc.field("recipe") == recipe.id) & pc.field("item_id").isin(items)
    columns = ["item_id", "pack", "offset", "length"]
    places = catalog.table("features").read(columns, where=where & pc.is_valid(pc.field("pack")))
    places = places.sort_by([("pack", "ascending"), ("offset", "ascending")])
    found: dict[str, NDArray[np.uint8]] = {}
    for ids, pixels in standard_pictures(catalog, recipe, places, batch=SHOWN, workers=2):
        found.update(zip(ids, pixels, strict=True))
    return found
