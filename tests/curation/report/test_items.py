from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.report.items import Items, align, cards, excess
from curation.report.model import RuleView
from curation.scorers import BY_PLACE
from data_catalog.schema import GROUPS, VERDICTS, Reason

IDS = ["a", "b", "c"]
COLOURS = RuleView(Reason.MONOCHROME, "colours", 257, "<", "reject", "")
CHROMA = RuleView(Reason.MONOCHROME, "chroma", 2.0, "<", "reject", "")


def build() -> Items:
    verdicts = {
        "item_id": IDS,
        "image_id": IDS,
        "verdict": ["rejected", "rejected", "accepted"],
        "reasons": [["monochrome"], ["monochrome", "blank", "blank"], []],
        "decided_by": ["rules", "ann", "rules"],
        **{column: [None, None, None] for column in BY_PLACE},
    }
    # In another order, and with a row that no verdict knows.
    features = {
        "item_id": ["c", "x", "b", "a"],
        "width": [300, 1, 200, 400],
        "height": [600, 1, 100, 400],
        "colours": [257, 1, 12, 257],
        "chroma": [9.0, 0.0, 5.0, 0.5],
    }
    return align(
        pa.table(features),
        pa.table(verdicts, schema=VERDICTS),
        GROUPS.empty_table(),
        {"a": "a.jpg"},
    )


def test_columns_are_in_the_order_of_the_verdicts() -> None:
    items = build()
    assert items.values("width").tolist() == [400, 200, 300]
    assert items.values("shorter_side").tolist() == [400, 100, 300]
    assert items.values("aspect").tolist() == [1, 2, 2]
    assert np.isnan(items.values("no_such_column")).all()


def test_an_item_carries_a_reason_once() -> None:
    items = build()
    assert items.reasons[Reason.BLANK].tolist() == [1]
    assert items.carry([Reason.BLANK, Reason.MONOCHROME]).tolist() == [True, True, False]
    assert items.by_person.tolist() == [False, True, False]


def test_a_card_shows_the_value_that_broke_the_rule() -> None:
    shown = cards(build(), np.array([0, 1]), [COLOURS, CHROMA])
    assert [c.value for c in shown] == ["chroma 0.5", "colours 12"]
    assert [c.locator for c in shown] == ["a.jpg", "b"]


def test_excess_is_positive_beyond_the_threshold_and_grows_with_distance() -> None:
    far = excess(build(), [COLOURS])
    assert far[1] > 0 > far[0] == far[2] == -np.inf
