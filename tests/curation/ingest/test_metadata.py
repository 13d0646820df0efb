from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import SourceError
from curation.ingest.sources import MetadataConfig

Picture = Callable[[int], bytes]


@pytest.fixture
def dump(tmp_path: Path, picture: Picture) -> Path:
    """A booru-like dump: posts.jsonl beside a folder of images."""
    images = tmp_path / "images"
    images.mkdir()
    posts = []
    for number in range(6):
        (images / f"{number}.png").write_bytes(picture(number))
        posts.append(
            {
                "id": number,
                "path": f"{number}.png",
                "rating": "s" if number % 2 == 0 else "e",
                "score": number * 5,
                "tags": [{"name": "1girl"}, {"name": f"t{number}"}],
            }
        )
    lines = [json.dumps(p) for p in posts]
    lines.insert(2, "{broken")
    (tmp_path / "posts.jsonl").write_text("\n".join(lines))
    return tmp_path


def _config(dump: Path, **more: Any) -> MetadataConfig:
    values = {"path": str(dump / "posts.jsonl"), "images": str(dump / "images"), **more}
    return MetadataConfig.model_validate(values)


def test_reads_what_the_filter_lets_through(dump: Path, run: Any) -> None:
    config = _config(
        dump,
        include_tags=["1girl"],
        exclude_tags=["t4"],
        where={"rating": ["s"], "score": {"min": 0}},
    )
    counts = run(config)
    assert (counts.new, counts.filtered, counts.failed) == (2, 4, {"unreadable": 1})
    assert sorted(run.by_locator()) == ["0.png", "2.png", "posts.jsonl:3"]
    assert run.by_locator()["0.png"]["tags"] == ["1girl", "t0"]
    assert run(config).known == 3
    assert run(_config(dump)).new == 4
    tight = _config(dump, where={"score": {"min": 20}})
    assert {r["locator"] for r in run.current(tight) if r["image_id"]} == {"4.png", "5.png"}


def test_paths_are_not_trusted(dump: Path, run: Any, picture: Picture) -> None:
    (dump / "secret.png").write_bytes(picture(77))
    (dump / "images" / "link.png").symlink_to(dump / "secret.png")
    os.mkfifo(dump / "images" / "pipe.png")
    paths = {
        "../secret.png": "unsafe_name",
        str(dump / "secret.png"): "unsafe_name",
        "link.png": "link_outside",
        "pipe.png": "unreadable",
        "gone.png": "unreadable",
        "https://example.org/a.png": "unreadable",
        "a\nb": "unreadable",
        "\ud800.png": "unreadable",
        "n" * 5000: "unreadable",
    }
    fine = [str(dump / "images" / "0.png"), "./1.png", "1.png"]
    lines = [json.dumps({"path": p}) for p in [*paths, *fine, "", None]]
    (dump / "posts.jsonl").write_text("\n".join(lines))
    counts = run(_config(dump))
    failures = run.failures()
    assert [failures.pop(f"posts.jsonl:{n}") for n in (13, 14)] == ["unreadable"] * 2
    assert list(failures.values()) == list(paths.values())
    assert counts.new == 2 and counts.filtered == 1  # one is named twice
    assert run(_config(dump)).known == 13


def test_parquet_and_csv_with_labels(dump: Path, run: Any) -> None:
    table = pa.table({"file": ["0.png", "1.png"], "kind": ["Hat", None], "tags": [["a"], None]})
    pq.write_table(table, dump / "t.parquet")
    base = {"images": str(dump / "images"), "path_column": "file", "label_column": "kind"}
    run(MetadataConfig.model_validate({**base, "path": str(dump / "t.parquet"), "label": "other"}))
    assert {k: v["label"] for k, v in run.by_locator().items()} == {
        "0.png": "Hat",
        "1.png": "other",
    }
    (dump / "images" / "t.csv").write_text("file,kind\n2.png,Shoe\n")
    csv = MetadataConfig(path=str(dump / "images" / "t.csv"), path_column="file")
    run(csv)  # relative to the table's own folder
    assert run.by_locator()["2.png"]["label"] is None
    assert run.by_locator()["2.png"]["fields"] == '{"kind": "Shoe"}'


def test_wrong_column_is_a_clear_error(dump: Path, run: Any) -> None:
    with pytest.raises(SourceError, match=r"no column `file`.*`path`.*set `path_column`"):
        run(_config(dump, path_column="file"))


def test_file_that_appears_later_is_taken_in(dump: Path, run: Any, picture: Picture) -> None:
    (dump / "images" / "3.png").rename(dump / "away.png")
    assert run(_config(dump)).failed == {"unreadable": 2}
    (dump / "away.png").rename(dump / "images" / "3.png")
    assert run(_config(dump)).new == 1
    assert "3.png" not in {r["locator"] for r in run.current(_config(dump)) if r["failure"]}
