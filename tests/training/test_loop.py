"""The loop around the steps: ticks, what may be changed meanwhile, and how a run is ended."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.support import (
    arguments,
    assert_same_run,
    rows_of,
    start,
    start_body,
    tensors_of,
    ticks_of,
    trained,
    version_of,
)
from training.command import main
from training.runs import snapshots
from training.runs.record import read_run


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return version_of(tmp_path_factory.mktemp("data") / "version")


@pytest.fixture(scope="module")
def begun(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, to go on from."""
    folder = tmp_path_factory.mktemp("begun")
    trained(arguments(version, folder / "run", total_kimg=0.032), folder / "log")
    return folder / "run"


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


def texts_of(run: Path) -> list[str]:
    """The texts that TensorBoard shows as notes."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    name = "notes/text_summary"
    if name not in events.Tags()["tensors"]:
        return []
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(name)]


# -- ticks ----------------------------------------------------------------------------------------


def test_a_run_leaves_what_people_look_at(run: Path) -> None:
    record = read_run(run)
    assert (record.status, record.reason) == ("finished", "0.032 kimg reached")
    assert (record.cur_nimg, record.total_kimg) == (32, 0.032)
    assert record.newest_snapshot == "kimg-000000.032"
    assert record.newest_grid == "samples/kimg-000000.032.png"
    grids = sorted(path.name for path in (run / "samples").iterdir())
    assert grids == [*(f"kimg-000000.{n:03}.png" for n in (0, 16, 32)), "reals.png"]
    first, last = (
        np.asarray(Image.open(run / "samples" / f"kimg-000000.{n:03}.png")) for n in (0, 32)
    )
    assert first.shape == last.shape
    assert not np.array_equal(first, last)
    assert first.shape[0] > 2 * 16  # four pictures of 16×12, in rows and columns
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"losses/loss_G", "losses/r1", "augment/p", "settings/r1_gamma"} <= scalars
    assert [event.step for event in events.Scalars("losses/loss_D")] == [16, 32]


def test_ticks_are_the_means_of_their_steps(run: Path) -> None:
    steps, ticks = rows_of(run / "steps.jsonl"), ticks_of(run)
    assert [tick["steps"] for tick in ticks] == [2, 4]
    for tick, rows in zip(ticks, (steps[:2], steps[2:]), strict=True):
        for name, value in tick["losses"].items():
            there = [row[name] for row in rows if name in row]
            assert there
            assert value == pytest.approx(np.mean(there)), name
        assert tick["d_sign_real"] == pytest.approx(np.mean([row["real_sign"] for row in rows]))


def test_a_finished_run_stays_as_it_is(version: Path, run: Path, begun: Path) -> None:
    assert main(arguments(version, run, total_kimg=0.032)) == 0
    assert_same_run(run, begun)
    assert read_run(run).status == "finished"


def test_ticks_that_are_shorter_than_a_step_still_lead_to_snapshots(
    version: Path, tmp_path: Path
) -> None:
    """Each step passes eight ticks of one image, and a snapshot is due at every 20th tick."""
    run = tmp_path / "run"
    settings: dict[str, Any] = {
        "tick_kimg": 0.001,
        "snapshot_ticks": 20,
        "total_kimg": 0.048,
        "pl_weight": 0,
    }
    trained(arguments(version, run, **settings), tmp_path / "log")
    assert [row["tick"] for row in ticks_of(run)] == [8, 16, 24, 32, 40, 48]
    found = snapshots.names(run / "snapshots")
    assert found == [f"kimg-000000.{n:03}" for n in (24, 40, 48)]


def test_inverted_pictures_are_turned_back_for_people(tmp_path: Path, version: Path) -> None:
    """The same pictures on an inverted version: real ones look the same, and so do noise images."""
    inverted = version_of(tmp_path / "version", inverted=True)
    grids = {}
    for name, data in (("plain", version), ("inverted", inverted)):
        trained(arguments(data, tmp_path / name, total_kimg=0), tmp_path / "log")
        samples = tmp_path / name / "samples"
        grids[name] = [
            np.asarray(Image.open(samples / file)).astype(int)
            for file in ("reals.png", "kimg-000000.000.png")
        ]
    (reals, made), (turned_reals, turned_made) = grids["plain"], grids["inverted"]
    assert np.array_equal(reals, turned_reals)
    # The same fresh network gives the same pictures, of which one run shows the negative.
    paper = (made == 208).all(axis=2) & (turned_made == 208).all(axis=2)
    assert 0 < paper.mean() < 1
    total = (made + turned_made)[~paper]
    assert (abs(total - 255) <= 1).all()


# -- what may be changed meanwhile ----------------------------------------------------------------


def change(run: Path, **values: Any) -> None:
    live = json.loads((run / "live.json").read_text())
    (run / "live.json").write_text(json.dumps(live | values))


def test_rates_and_gamma_change_at_the_next_tick(version: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    change(run, r1_gamma=3.5, G_lr=0.01, D_lr=0.02)
    line = arguments(version, run, total_kimg=0.08)
    said = trained(line, tmp_path / "log")
    trained(arguments(version, other, total_kimg=0.08), tmp_path / "log")
    for note in ("r1_gamma: 0.5 → 3.5", "G_lr: 0.0025 → 0.01", "D_lr: 0.0025 → 0.02"):
        assert said.count(note) == 1
        assert sum(note in text for text in texts_of(run)) == 1
    in_force = [(row["kimg"], row["r1_gamma"], row["G_lr"], row["D_lr"]) for row in ticks_of(run)]
    assert in_force == [
        (0.016, 0.5, 0.0025, 0.0025),
        (0.032, 0.5, 0.0025, 0.0025),
        (0.048, 0.5, 0.0025, 0.0025),
        (0.064, 3.5, 0.01, 0.02),
        (0.08, 3.5, 0.01, 0.02),
    ]
    changed, unchanged = rows_of(run / "steps.jsonl"), rows_of(other / "steps.jsonl")
    same = [one == two for one, two in zip(changed, unchanged, strict=True)]
    # Step 6 is taken at the new rates; its G was not trained at them yet, its D has seen that G.
    assert same == [*[True] * 6, *[False] * 4]
    assert not any("r1_gamma:" in text for text in texts_of(other))


def test_what_was_changed_is_kept(version: Path, run: Path, tmp_path: Path) -> None:
    change(run, r1_gamma=3.5)
    trained(arguments(version, run, total_kimg=0.064), tmp_path / "log")
    said = trained(arguments(version, run, total_kimg=0.08), tmp_path / "log2")
    assert "→ 3.5" not in said  # it is in force already
    assert ticks_of(run)[-1]["r1_gamma"] == 3.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"r1_gamma": 3,', "live.json is not valid JSON"),
        ('{"r1_gama": 3}', "`r1_gama` is no setting; there are: G_lr, D_lr, r1_gamma; nothing"),
        ('{"r1_gamma": 3, "G_lr": 0}', "`G_lr` must be a number > 0, got 0; nothing was changed"),
    ],
)
def test_a_typing_error_changes_nothing(
    version: Path, run: Path, tmp_path: Path, text: str, words: str
) -> None:
    (run / "live.json").write_text(text)
    said = trained(arguments(version, run, total_kimg=0.048), tmp_path / "log")
    assert words in said
    assert any(words in text for text in texts_of(run))
    assert {row["r1_gamma"] for row in ticks_of(run)} == {0.5}
    assert (run / "live.json").read_text() == text


# -- ends -----------------------------------------------------------------------------------------


@pytest.fixture
def kept(run: Path) -> Iterator[Path]:
    """A run whose snapshots must be there afterwards, untouched."""
    before = contents_of(run / "snapshots")
    assert before
    yield run
    assert before.items() <= contents_of(run / "snapshots").items()


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("rate", "diagnosis"),
    [
        # Weights overflow at once.
        (1e39, "weights are not finite: G."),
        # Those of 1e30 are finite, pictures and losses are not: gradients of NaN are mended to
        # nothing, so that the weights stay as they are for ever.
        (1e30, "not finite: loss_"),
    ],
)
def test_what_is_past_hope_is_ended_with_a_diagnosis(
    version: Path, kept: Path, tmp_path: Path, rate: float, diagnosis: str
) -> None:
    change(kept, G_lr=rate)
    started = start(arguments(version, kept, total_kimg=0.16, snapshot_ticks=50), tmp_path / "log")
    assert started.ended() == 1, started.said()
    told = started.said().rpartition("error: ")[2]
    assert diagnosis in told
    assert "Usual causes: a learning rate that is too high" in told
    assert f"Run folder: {kept}" in told
    record = read_run(kept)
    assert record.status == "failed"
    assert diagnosis in record.reason
    assert record.newest_snapshot == "kimg-000000.032"
    assert record.cur_nimg < 160
    assert snapshots.names(kept / "snapshots") == ["kimg-000000.032"]


def test_what_may_be_astray_takes_no_good_snapshot_away(
    version: Path, run: Path, tmp_path: Path
) -> None:
    """The rate is in force after the third tick; the fourth warns, the fifth ends it."""
    change(run, G_lr=1e30)
    settings: dict[str, Any] = {
        "total_kimg": 0.16,
        "snapshot_ticks": 1,
        "keep_last": 1,
        "keep_every": 0,
    }
    started = start(arguments(version, run, **settings), tmp_path / "log")
    assert started.ended() == 1, started.said()
    assert "warning: at 0.1 kimg not finite: loss_" in started.said()
    assert [row["tick"] for row in ticks_of(run)] == [1, 2, 3, 4, 5]
    assert snapshots.names(run / "snapshots") == ["kimg-000000.048"]


def test_after_a_failure_an_older_snapshot_goes_on(
    version: Path, run: Path, tmp_path: Path
) -> None:
    (run / "run.json").unlink()  # whatever state that is in
    change(run, G_lr=0.001)
    trained(arguments(version, run, total_kimg=0.048), tmp_path / "log")
    assert read_run(run).status == "finished"
    assert all(value.isfinite().all() for value in tensors_of(run).values())


def train_in_little_memory(line: list[str], more: int) -> int:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
    return main(line)


def test_too_large_a_batch_is_told_with_one_that_fits(version: Path, tmp_path: Path) -> None:
    """A real want of memory, of a process that may have 300 MB more than PyTorch takes."""
    run = tmp_path / "run"
    line = arguments(version, run, batch=4096, mode="off", pl_weight=0)
    started = start_body(tmp_path / "log", train_in_little_memory, line, 300 << 20)
    assert started.ended() == 2, started.said()
    told = started.said().rpartition("error: ")[2]
    assert "out of memory with 4096 images at once on a machine of" in told
    assert "would fit: set optimizer.batch_gpu=" in told
    assert "Traceback" not in started.said()
    record = read_run(run)
    assert record.status == "failed"
    assert "set optimizer.batch_gpu=" in record.reason


def test_steps_are_not_written_unless_asked_for(version: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(arguments(version, run, total_kimg=0.016, log_steps=False)) == 0
    assert not (run / "steps.jsonl").exists()
    assert len(ticks_of(run)) == 1
    assert torch.equal(tensors_of(run)["ada.p"], torch.tensor(0.0))
