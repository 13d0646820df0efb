from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from training.errors import SetupError
from training.runs.record import Metric, RunRecord, list_runs, read_run

AT = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(**fields: object) -> RunRecord:
    values = {
        "status": "running",
        "preset": "tiny",
        "dataset": "s3://versions/3",
        "version": 3,
        "version_hash": "abc",
        "inverted": True,
        "size": (48, 64),
        "cur_nimg": 4096,
        "total_kimg": 100.0,
        "started": AT,
        "updated": AT,
        "pid": 12,
    }
    return RunRecord.model_validate(values | fields)


def put(folder: Path, content: RunRecord) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(content.model_dump_json())
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    metrics = (Metric(snapshot="kimg-000004.096", name="fid", value=math.inf),)
    written = record(metrics=metrics, labels=("a", "b"), newest_grid="samples/1.png")
    folder = put(tmp_path / "run", written)
    back = read_run(folder)
    assert back == written.model_copy(update={"path": folder})
    assert back.kimg == 4.096


def test_the_file_is_plain_json_for_others(tmp_path: Path) -> None:
    metrics = (Metric(snapshot="a", name="fid", value=math.nan),)
    folder = put(tmp_path / "run", record(metrics=metrics))
    content = json.loads((folder / "run.json").read_text(), parse_constant=pytest.fail)
    assert content["kimg"] == 4.096
    assert content["size"] == [48, 64]
    assert content["started"] == "2025-01-02T03:04:05Z"
    assert "path" not in content
    assert math.isnan(read_run(folder).metrics[0].value)


def test_a_newer_trainer_may_write_more(tmp_path: Path) -> None:
    folder = put(tmp_path / "run", record())
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | {"colour": "blue"}))
    assert read_run(folder).status == "running"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"run\.json is damaged: Invalid JSON"),
        ("{", r"run\.json is damaged: Invalid JSON"),
        ("[]", r"run\.json is damaged: "),
        ('{"status": "idle"}', r"run\.json is damaged: `\w+`: "),
        ("\udcff", r"run\.json is damaged: "),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SetupError, match=message):
        read_run(tmp_path)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"holds no run\.json; give the folder of a run"):
        read_run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"file holds no run\.json"):
        read_run(tmp_path / "file")


def test_runs_are_listed_newest_first_and_damage_hides_nothing(tmp_path: Path) -> None:
    put(tmp_path / "old", record())
    put(tmp_path / "new", record(started=AT.replace(year=2026)))
    put(tmp_path / "broken", record())
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").write_text("")
    runs = list_runs(tmp_path)
    assert [run.path.name for run in runs] == ["new", "old", "broken"]
    assert runs[2].status == "failed"
    assert "damaged" in runs[2].reason
    assert list_runs(tmp_path / "missing") == []


def test_runs_that_are_being_written_are_no_runs_yet(tmp_path: Path) -> None:
    put(tmp_path / ".tmp-new-123", record())
    put(tmp_path / "new", record())
    assert [run.path.name for run in list_runs(tmp_path)] == ["new"]
