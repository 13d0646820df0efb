from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import SourceError
from curation.ingest.records import (
    MAX_LINE_BYTES,
    BadRecord,
    Record,
    about,
    read_records,
    tags_of,
)


def _write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_csv_types_and_bad_rows(tmp_path: Path) -> None:
    text = '\ufeffimage,score,kids,note\na,7,True,\nb,1.5,no\nc,007,False,"two\nlines"\n\nd,1,x,y\n'
    rows = list(read_records(_write(tmp_path / "t.csv", text)))
    assert rows == [
        Record("t.csv:2", {"image": "a", "score": 7, "kids": True, "note": None}),
        BadRecord("t.csv:3", "has 3 cells, the header has 4"),
        Record("t.csv:4", {"image": "c", "score": "007", "kids": False, "note": "two\nlines"}),
        Record("t.csv:7", {"image": "d", "score": 1, "kids": "x", "note": "y"}),
    ]


def test_semicolons_and_tabs(tmp_path: Path) -> None:
    for ending, mark in ((".csv", ";"), (".tsv", "\t")):
        path = _write(tmp_path / f"t{ending}", f"image{mark}tags\na{mark}x y\n")
        (row,) = read_records(path)
        assert isinstance(row, Record)
        assert row.values == {"image": "a", "tags": "x y"}


def test_latin_1_csv_keeps_the_bytes_of_paths(tmp_path: Path) -> None:
    (row,) = read_records(_write(tmp_path / "t.csv", b"path\ncaf\xe9.jpg\n"))
    assert isinstance(row, Record)
    assert row.values["path"].encode("utf-8", "surrogateescape") == b"caf\xe9.jpg"


def test_json_lines_go_on_after_bad_ones(tmp_path: Path) -> None:
    lines = ['{"a": 1}', "{nope", "[1, 2]", "", '{"a": NaN}', "[" * 100_000, '{"a": 2}']
    rows = list(read_records(_write(tmp_path / "t.jsonl", "\n".join(lines))))
    assert [r.where for r in rows if isinstance(r, BadRecord)] == [
        "t.jsonl:2",
        "t.jsonl:3",
        "t.jsonl:6",
    ]
    assert [r.values for r in rows if isinstance(r, Record)] == [{"a": 1}, {"a": None}, {"a": 2}]


def test_endless_line_is_skipped(tmp_path: Path) -> None:
    text = b'{"a": 1}\n' + b"x" * (2 * MAX_LINE_BYTES + 10) + b'\n{"a": 2}\n'
    first, bad, last = read_records(_write(tmp_path / "t.jsonl", text))
    assert isinstance(bad, BadRecord) and bad.where == "t.jsonl:2"
    assert isinstance(first, Record) and isinstance(last, Record) and last.where == "t.jsonl:3"


def test_packed_and_cut_short(tmp_path: Path) -> None:
    packed = gzip.compress("\n".join(json.dumps({"n": i * 7919}) for i in range(5000)).encode())
    whole = list(read_records(_write(tmp_path / "t.jsonl.gz", packed)))
    assert len(whole) == 5000
    cut = list(read_records(_write(tmp_path / "u.jsonl.gz", packed[: len(packed) // 2])))
    assert isinstance(cut[-1], BadRecord) and 0 < len(cut) < 5000


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    when = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    table = pa.table({"a": [1.5, float("nan")], "t": [["x", "y"], None], "w": [when, None]})
    pq.write_table(table, path)
    first, second = read_records(str(path))
    assert isinstance(first, Record) and isinstance(second, Record)
    assert first.values == {"a": 1.5, "t": ["x", "y"], "w": when.isoformat()}
    assert second.values == {"a": None, "t": None, "w": None}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.xlsx", b"PK", "must end in"),
        ("t.csv", b"", "is empty"),
        ("t.csv", "a,b\n".encode("utf-16"), "UTF-16"),
        ("t.json", b'[{"a": 1}]', "jq -c"),
        ("t.parquet", b"nonsense", "not a Parquet"),
    ],
)
def test_unusable_tables_say_so(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list(read_records(_write(tmp_path / name, data)))


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, ()),
        ("1girl solo  hat", ("1girl", "solo", "hat")),
        ("red dress, long , red dress", ("red dress", "long")),
        ('["a b", "c"]', ("a b", "c")),
        (["a", None, "a", 3], ("a", "3")),
        ([{"id": 1, "name": "hat"}, {"id": 2}], ("hat",)),
        ("\ud800x", ("\\ud800x",)),
    ],
)
def test_tags_as_dumps_write_them(value: object, tags: tuple[str, ...]) -> None:
    assert tags_of(value) == tags


def test_about_splits_a_row() -> None:
    row = {"image": "x", "label": "Shoes", "tags": "a|b", "n": 1, "none": None}
    known = about(
        row, label_column="label", tags_column="tags", tags_separator="|", without="image"
    )
    assert (known.label, known.tags, known.fields) == ("Shoes", ("a", "b"), {"n": 1})
