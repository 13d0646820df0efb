from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from curation.synthetic.defects import COPYABLE, PLANTABLE
from curation.synthetic.demo_set import demo_images, write_demo_set


def test_the_demo_set_on_disk_is_what_its_labels_say(tmp_path: Path) -> None:
    images = write_demo_set(tmp_path, seed=1, products=12, each=1)
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [r["file"] for r in rows]
    assert len(set(names)) == len(names) == len(images)
    assert set(names) == {p.name for p in (tmp_path / "images").iterdir()}
    count = Counter(r["planted"] for r in rows)
    assert count[""] == 12 + 1  # one is a copy of the same bytes
    assert {d for d in count if d} == {*map(str, (*PLANTABLE, *COPYABLE)), "colourway"}
    assert count["colourway"] == 36 and count["near_duplicate"] == 2
    assert {r["of"] for r in rows if r["of"]} <= set(names)
    same = next(r for r in rows if r["how"] == "copied")
    assert (tmp_path / "images" / same["file"]).read_bytes() == (
        tmp_path / "images" / same["of"]
    ).read_bytes()
    links = [p for p in (tmp_path / "images").iterdir() if p.is_symlink()]
    assert [p.name for p in links] == ["link_outside-00.jpg"]
    assert not links[0].resolve().is_relative_to(tmp_path.resolve())


def test_one_seed_one_demo_set() -> None:
    first, same = (list(demo_images(seed=2, products=2, each=1)) for _ in range(2))
    other = list(demo_images(seed=3, products=2, each=1))
    assert first == same
    assert [i.data for i in first] != [i.data for i in other]


def test_too_few_products_are_refused() -> None:
    with pytest.raises(ValueError, match="`products` must be at least 2 × each = 16"):
        list(demo_images(seed=0, products=3))
