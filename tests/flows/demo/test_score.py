"""What the demo has caught, held against what it planted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curation.synthetic.defects import PlantedImage
from data_catalog.schema import VERDICTS as VERDICTS_TABLE
from data_catalog.schema import Reason, Verdict
from flows.catalog import open_catalog
from flows.demo.score import SAME_BYTES, outcome, score
from flows.settings import ConfigError, DatasetConfig, parse

PLANTED = [
    PlantedImage("sound.jpg", b""),
    PlantedImage("alarm.jpg", b""),
    PlantedImage("blank.jpg", b"", Reason.BLANK),
    PlantedImage("missed.jpg", b"", Reason.BLANK),
    PlantedImage("copy.jpg", b"", Reason.PIXEL_DUPLICATE, of="original.jpg"),
    PlantedImage("original.jpg", b""),
    PlantedImage("again.jpg", b"", of="original.jpg"),
]
# The original of a copy may be the one that is marked.
REASONS = {
    "alarm.jpg": Reason.BLANK,
    "blank.jpg": Reason.BLANK,
    "original.jpg": Reason.PIXEL_DUPLICATE,
}
ITEMS = {image.file_name: image.file_name for image in PLANTED} | {"again.jpg": "original.jpg"}


def verdict(name: str) -> tuple[str, frozenset[str]]:
    reason = REASONS.get(name)
    if reason is None:
        return Verdict.ACCEPTED.value, frozenset()
    return Verdict.REJECTED.value, frozenset([reason.value])


VERDICTS = {item: verdict(item) for item in ITEMS.values()}


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    raw = {
        "dataset": {"name": "demo", "root": "catalog"},
        "sources": [{"kind": "folder", "path": "images"}],
    }
    return parse(raw, name="nonesuch.toml", folder=tmp_path)


def test_what_was_caught_missed_and_taken_for_it_is_counted(config: DatasetConfig) -> None:
    rows, sound, accepted = score(PLANTED, ITEMS, VERDICTS, config)
    counts = {r.defect: (r.planted, r.caught, r.missed, r.false_alarms) for r in rows}
    assert counts == {
        "blank": (2, 1, 1, 1),
        "pixel_duplicate": (1, 1, 0, 0),
        SAME_BYTES: (1, 1, 0, 0),
    }
    assert (sound, accepted) == (2, 1)


def test_a_picture_that_has_not_come_in_is_named(config: DatasetConfig) -> None:
    unseen = {name: item for name, item in ITEMS.items() if name != "blank.jpg"}
    unjudged = {item: found for item, found in VERDICTS.items() if item != "blank.jpg"}
    for items, verdicts in ((unseen, VERDICTS), (ITEMS, unjudged)):
        with pytest.raises(ConfigError, match=r"1 have not come in, the first is blank\.jpg; undo"):
            score(PLANTED, items, verdicts, config)


def test_other_sources_than_the_demo_has_are_told_of(config: DatasetConfig) -> None:
    row = {"item_id": "a", "verdict": "accepted", "reasons": [], "decided_by": "rules"}
    rows = pa.Table.from_pylist([row], schema=VERDICTS_TABLE)
    open_catalog(config).table("verdicts").append(rows)
    with pytest.raises(ConfigError, match="0 are offered and 1 judged; undo"):
        outcome(config)
