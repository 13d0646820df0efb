"""Stage: which items a version is made of, with all that is published about them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curation.recipe import Recipe
from curation.stages.copies import with_copies
from curation.stages.splits import SOURCE
from data_catalog.catalog import Catalog
from data_catalog.decisions import human_tags
from data_catalog.schema import Verdict
from data_catalog.versions import MEMBERS_IN


def members(
    catalog: Catalog, recipe: Recipe, selection: pa.Table, *, include_flagged: bool
) -> pa.Table:
    """Give the accepted items of the last build, with all that is known about them.

    Parameters
    ----------
    selection : pyarrow.Table
        From `curation.ingest.selection.current`; labels, tags and fields come from it.
    include_flagged : bool
        Take items too that are flagged and that nobody has decided.

    Returns
    -------
    pyarrow.Table
        The columns that `publish` takes, and `source`, the name of the first source of each.
    """
    wanted = [Verdict.ACCEPTED.value] + [Verdict.FLAGGED.value] * include_flagged
    verdicts = catalog.table("verdicts").read(["item_id", "verdict"])
    chosen = verdicts.filter(pc.is_in(verdicts["verdict"], value_set=pa.array(wanted)))["item_id"]
    columns = ["item_id", "image_id", "pack", "offset", "length", "standard_hash", "pixel_hash"]
    where = (pc.field("recipe") == recipe.id) & pc.field("item_id").isin(chosen.combine_chunks())
    features = catalog.table("features").read(columns, where=where).combine_chunks()
    features = features.sort_by([("item_id", "ascending"), ("pack", "ascending")])
    ids = features["item_id"]
    first = pc.index_in(pc.unique(ids), value_set=ids.combine_chunks())
    features = features.take(first)
    at = pc.index_in(features["image_id"], value_set=selection["image_id"].combine_chunks())
    for name in ("label", "tags", "fields", SOURCE):
        features = features.append_column(name, selection[name].combine_chunks().take(at))
    return _with_human_tags(catalog, features).select([*MEMBERS_IN.names, SOURCE])


def _with_human_tags(catalog: Catalog, features: pa.Table) -> pa.Table:
    """Add the tags that people gave to those that the sources gave."""
    said = human_tags(catalog)
    if not said:
        return features
    given = with_copies(said, catalog, features)
    tags = [
        sorted({*(own or []), *(given[item_id]["tags"] if item_id in given else [])})
        for item_id, own in zip(
            features["item_id"].to_pylist(), features["tags"].to_pylist(), strict=True
        )
    ]
    column = features.column_names.index("tags")
    return features.set_column(column, "tags", pa.array(tags, pa.list_(pa.string())))
