from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.training.conftest import ITEMS, Trained
from training.__main__ import main
from training.score_run import score_version


def test_csv_and_json_lines_say_the_same(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(run) for run in trained.folds]
    for name in ("scores.csv", "scores.jsonl"):
        assert main(["score", *runs, "--device", "cpu", "--out", str(tmp_path / name)]) == 0
    assert "scores.jsonl" in capsys.readouterr().err
    with (tmp_path / "scores.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    from_json = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    expected = list(score_version(trained.folds))
    assert len(expected) == ITEMS
    for score, one, other in zip(expected, from_csv, from_json, strict=True):
        assert other == {
            "item": score.item,
            "mean": score.mean,
            "standard_error": score.standard_error,
            "n": 8,
            "fold": score.fold,
        }
        assert one == {key: str(value) for key, value in other.items()}


def test_what_is_not_there(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.jsonl"
    arguments = ["score", str(trained.plain), "--device", "cpu", "--shuffles", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    row = json.loads(out.read_text().splitlines()[0])
    assert (row["standard_error"], row["fold"]) == (None, None)
    capsys.readouterr()
    assert main(arguments) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header == "item,mean,standard_error,n,fold"
    assert first == f"{row['item']},{row['mean']},,1,"


def test_wrong_usage(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, fold = str(trained.plain), str(trained.folds[0])
    wrong = {
        "must end in .csv or .jsonl, got scores.txt": [
            plain,
            "--out",
            str(tmp_path / "scores.txt"),
        ],
        "there is no folder": [plain, "--out", str(tmp_path / "gone" / "scores.csv")],
        "data.fold 2/2 are missing": [fold, "--out", str(tmp_path / "scores.csv")],
        "give the folder of a run": [str(tmp_path)],
    }
    for told, arguments in wrong.items():
        assert main(["score", *arguments, "--device", "cpu"]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["score", plain, "--shuffles", "0"])
    assert stopped.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    for state in run.glob("snapshots/*/state.json"):
        state.unlink()
    out = tmp_path / "scores.csv"
    out.write_text("before")
    assert main(["score", str(run), "--device", "cpu", "--out", str(out)]) == 1
    assert out.read_text() == "before"
    assert "must have 1 whole snapshots, has 0" in capsys.readouterr().err
