from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.conftest import Trained
from training.__main__ import main
from training.runs.record import read_run
from training.runs.snapshots import names


@pytest.fixture
def run(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # weights that this user may have would be taken, too
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return trained.copy_of(trained.plain, tmp_path)


def test_a_table_for_people(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", str(run), "--device", "cpu", "--count", "6", "--neighbours"]) == 0
    first, *rows, last = capsys.readouterr().out.splitlines()
    newest = names(run / "snapshots")[-1]
    assert first.startswith(f"{run}, {newest}: 6 generated, seed 0, version ")
    figures = {name: (float(value), encoder) for name, value, encoder in map(str.split, rows)}
    assert figures.pop("nearest_ratio")[0] > 0
    recorded = {m.name: m.value for m in read_run(run).metrics}
    assert {name: value for name, (value, _) in figures.items()} == pytest.approx(
        recorded, rel=1e-3, abs=1e-6
    )
    assert set(recorded) == {"fd_own", "kid_own", "kid_std_own", "precision_own", "recall_own"}
    assert last == f"nearest real pictures: {run}/neighbours-{newest}.png"
    assert (run / f"neighbours-{newest}.png").is_file()


def test_json_for_programs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oldest = names(run / "snapshots")[0]
    arguments = ["metrics", str(run), "--device", "cpu", "--count", "6", "--snapshot", oldest]
    assert main([*arguments, "--metric", "pr_own", "--metric", "ppl_own", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["run"] == str(run)
    (row,) = content["figures"]
    assert row["snapshot"] == oldest
    assert set(row["values"]) >= {"precision_own", "recall_own", "ppl_own"}
    kept = json.loads((run / "metrics.jsonl").read_text())
    assert {**kept, "taken": None} == {**row, "taken": None}  # each says when it was written


def test_exit_codes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {
        "metrics are fd_own": [str(run), "--metric", "beauty"],
        "no snapshot 'best'": [str(run), "--snapshot", "best"],
        "holds no run.json": [str(tmp_path)],
        "--inception": [str(run), "--metric", "fid"],
    }
    for told, arguments in wrong.items():
        assert main(["metrics", *arguments, "--device", "cpu"]) == 2
        assert told in capsys.readouterr().err
    newest = names(run / "snapshots")[-1]
    (run / "snapshots" / newest / "weights.safetensors").write_bytes(b"")
    assert main(["metrics", str(run), "--snapshot", newest, "--device", "cpu"]) == 1
    assert f"{newest}/weights.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["metrics", "score"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([word, "--help"])
    assert stopped.value.code == 0
    assert f"python -m training {word}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"`python -m training {word} RUN`" in " ".join(capsys.readouterr().out.split())
