"""What the review page is given of a build; handed over, never stored in the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from data_catalog.schema import Reason

EVIDENCE: Final = pa.struct(
    [
        pa.field("reason", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),  # of the reason, for people
        pa.field("meaning", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),  # reject, flag
        pa.field("measure", pa.string()),  # for people; null where nothing is measured
        pa.field("value", pa.float64()),
        pa.field("limit", pa.float64()),
        pa.field("breaks", pa.string()),  # < or >: the side of the limit that is wrong
        pa.field("text", pa.string(), nullable=False),  # all of it in a few words
    ]
)

REVIEWED: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),  # verdict by the rules alone
        pa.field("evidence", pa.list_(EVIDENCE)),
        pa.field("title", pa.string()),
        pa.field("source", pa.string()),
        pa.field("label", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("locator", pa.string()),
        pa.field("page", pa.string()),
        pa.field("observed_at", pa.timestamp("us", tz="UTC")),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("file_bytes", pa.int64(), nullable=False),
        pa.field("score", pa.float32()),  # mean D score by the current model
        pa.field("pixels", pa.string()),  # hash of the pixels, hex
        pa.field("phash", pa.int64()),
        pa.field("duplicate", pa.string()),  # the keeper, for keeper and copies alike
        pa.field("relation", pa.string()),  # Reason: how a copy relates to its keeper
        pa.field("distance", pa.float32()),
        pa.field("colourway", pa.string()),  # cluster of colourways of at least two
        pa.field("colourway_rank", pa.int32()),
        pa.field("raw_pack", pa.string(), nullable=False),
        pa.field("raw_offset", pa.int64(), nullable=False),
        pa.field("raw_length", pa.int64(), nullable=False),
        pa.field("pack", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("thumb_offset", pa.int64(), nullable=False),
        pa.field("thumb_length", pa.int64(), nullable=False),
        pa.field("standard_hash", pa.string(), nullable=False),
        pa.field("standard_ratio", pa.float32(), nullable=False),  # width / height
    ]
)


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue of the review page: one reason, and the rule behind it.

    Attributes
    ----------
    kind : str
        clusters where items are to be compared with one another.
    measure : str or None
        Title of what is measured; None where nothing is, or several things are. Then items are in
        the order of how far, as a share of it, they are beyond the limit that they broke.
    order : str
        Which values are the worst.
    """

    reason: Reason
    title: str
    meaning: str
    action: Literal["flag", "reject"]
    kind: Literal["items", "clusters"]
    measure: str | None
    unit: str
    order: Literal["high", "low"]
    limit: float | None
