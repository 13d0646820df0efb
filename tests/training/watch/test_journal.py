from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.watch.journal import Journal, Tick, cut_off, read_rows


def a_tick(cur_nimg: int, **changes: object) -> Tick:
    tick = Tick(
        cur_nimg=cur_nimg,
        kimg=cur_nimg / 1000,
        tick=cur_nimg // 1000,
        steps=cur_nimg // 8,
        seconds=2.0,
        sec_per_kimg=2.0,
        images_per_sec=500.0,
        data_wait_share=0.125,
        gpu_memory_gb=None,
        ada_p=0.25,
        d_sign_real=0.5,
        r1_gamma=1.5,
        G_lr=0.0025,
        D_lr=0.002,
        losses={"loss_G": cur_nimg / 1000, "loss_D": 1.0},
    )
    return dataclasses.replace(tick, **changes)  # type: ignore[arg-type]


def log(folder: Path, start: int, ticks: list[int]) -> None:
    with Journal(folder, start) as journal:
        for cur_nimg in ticks:
            journal.tick(a_tick(cur_nimg))
            journal.steps([{"cur_nimg": cur_nimg - 500, "loss_G": 1.0}, {"cur_nimg": cur_nimg}])


def an_hour_later(folder: Path) -> None:
    """Let what is logged next begin at a later time.

    Files of TensorBoard are read by their names: a second, and a number of this process that puts
    10 before 9. Runs that go on begin in another second, tests may not.
    """
    for path in (folder / "tensorboard").iterdir():
        start, _, rest = path.name.removeprefix("events.out.tfevents.").partition(".")
        path.rename(path.with_name(f"events.out.tfevents.{int(start) - 3600:010}.{rest}"))


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(event.step, event.value) for event in board.Scalars(name)]


def logged(path: Path) -> list[int]:
    return [row["cur_nimg"] for row in read_rows(path)]


def test_rows_hold_what_was_given(tmp_path: Path) -> None:
    log(tmp_path, 0, [1000])
    assert list(read_rows(tmp_path / "ticks.jsonl")) == [dataclasses.asdict(a_tick(1000))]
    assert list(read_rows(tmp_path / "steps.jsonl")) == [
        {"cur_nimg": 500, "loss_G": 1.0},
        {"cur_nimg": 1000},
    ]


def test_tick_is_readable_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.tick(a_tick(1000))
        assert logged(tmp_path / "ticks.jsonl") == [1000]


def test_resumed_curves_have_every_point_once(tmp_path: Path) -> None:
    log(tmp_path, 0, [1000, 2000, 3000, 4000])
    an_hour_later(tmp_path)
    log(tmp_path, 2000, [3000, 4000, 5000])  # killed at 4000, its snapshot was of 2000
    expected = [1000, 2000, 3000, 4000, 5000]
    assert logged(tmp_path / "ticks.jsonl") == expected
    assert logged(tmp_path / "steps.jsonl") == sorted({*expected, *(n - 500 for n in expected)})
    assert curve(tmp_path, "losses/loss_G") == [(n, n / 1000) for n in expected]


def test_a_run_that_begins_again_forgets_all(tmp_path: Path) -> None:
    log(tmp_path, 0, [0, 1000])
    an_hour_later(tmp_path)
    log(tmp_path, 0, [0, 1000])
    assert logged(tmp_path / "ticks.jsonl") == [0, 1000]
    assert [step for step, _ in curve(tmp_path, "augment/p")] == [0, 1000]


def test_first_tick_survives_a_resume(tmp_path: Path) -> None:
    log(tmp_path, 0, [0, 1000])
    log(tmp_path, 1000, [])
    assert logged(tmp_path / "ticks.jsonl") == [0, 1000]


@pytest.mark.parametrize(
    "torn", [b'{"cur_nimg": 15', b'{"cur_nimg": 1500}', b"\0\0\0\n", b'{"kimg": 1}\n', b"[]\n"]
)
def test_torn_lines_are_taken_out(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_bytes(b'{"cur_nimg": 1000}\n' + torn)
    assert cut_off(path, 2000) == 1
    assert path.read_bytes() == b'{"cur_nimg": 1000}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_whole_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ticks.jsonl"
    path.write_bytes(b'{"cur_nimg": 1000}\n')
    before = path.stat()
    assert cut_off(path, 1000) == 0
    assert path.stat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [path]


def test_missing_files_are_no_rows(tmp_path: Path) -> None:
    assert cut_off(tmp_path / "steps.jsonl", 1000) == 0
    assert list(read_rows(tmp_path / "steps.jsonl")) == []


def test_rows_stay_json_where_a_loss_is_not_finite(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.tick(a_tick(1000, losses={"loss_G": math.nan, "loss_D": math.inf}))

    def refuse(word: str) -> float:
        raise AssertionError(word)

    text = (tmp_path / "ticks.jsonl").read_text("utf-8")
    assert json.loads(text, parse_constant=refuse)["losses"] == {"loss_G": None, "loss_D": None}


def test_gpu_memory_is_a_curve_only_on_a_gpu() -> None:
    assert "speed/gpu_memory_gb" not in a_tick(1000).scalars()
    assert a_tick(1000, gpu_memory_gb=12.5).scalars()["speed/gpu_memory_gb"] == 12.5


def test_pictures_are_made_smaller_for_tensorboard(tmp_path: Path) -> None:
    red = Image.fromarray(np.full((1024, 2048, 3), (200, 0, 0), np.uint8))
    with Journal(tmp_path, 0) as journal:
        journal.images("fakes", red, 1000)
        journal.text("config", "batch 8", 1000)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = board.Images("fakes")
    assert (event.step, event.width, event.height) == (1000, 1024, 512)
    assert board.Tags()["tensors"] == ["config/text_summary"]


def test_a_step_without_its_place_is_our_mistake(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal, pytest.raises(AssertionError, match="cur_nimg"):
        journal.steps([{"loss_G": 1.0}])
