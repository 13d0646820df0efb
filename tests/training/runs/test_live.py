from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.errors import TrainingError
from training.presets import resolve
from training.runs.live import Live, read, write_initial

LIVE = Live(G_lr=0.0025, D_lr=0.002, r1_gamma=10.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_initial(tmp_path / "live.json", LIVE)
    return tmp_path / "live.json"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_written_is_read_without_a_word(path: Path) -> None:
    assert read(path, LIVE) == (LIVE, [])
    assert "r1_gamma" in json.loads(path.read_text())["_help"]


def test_a_run_begins_with_its_configuration() -> None:
    config = resolve("sneaker", {"optimizer": {"D_lr": 0.001}}, size=(384, 512), gpus=1)
    assert Live.of(config) == Live(G_lr=0.0025, D_lr=0.001, r1_gamma=1.0)


def test_a_change_is_told(path: Path) -> None:
    edit(path, r1_gamma=2, G_lr=1e-4)
    live, told = read(path, LIVE)
    assert live == Live(0.0001, 0.002, 2.0)
    assert isinstance(live.r1_gamma, float)
    assert told == ["G_lr: 0.0025 → 0.0001", "r1_gamma: 10 → 2"]
    assert read(path, live) == (live, [])


def test_gamma_may_be_off_and_a_key_left_out(path: Path) -> None:
    path.write_text('{"r1_gamma": 0}')
    assert read(path, LIVE) == (Live(0.0025, 0.002, 0.0), ["r1_gamma: 10 → 0"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"r1_gama": 2}', "`r1_gama` is no setting; there are: G_lr, D_lr, r1_gamma"),
        ('{"G_lr": 0}', "`G_lr` must be a number > 0, got 0"),
        ('{"G_lr": -1e-3}', "`G_lr` must be a number > 0, got -0.001"),
        ('{"D_lr": "0.1"}', '`D_lr` must be a number > 0, got "0.1"'),
        ('{"D_lr": true}', "`D_lr` must be a number > 0, got true"),
        ('{"D_lr": null}', "`D_lr` must be a number > 0, got null"),
        ('{"r1_gamma": -1}', "`r1_gamma` must be a number >= 0, got -1"),
        ('{"r1_gamma": NaN}', "`r1_gamma` must be a number >= 0, got NaN"),
        ('{"r1_gamma": 1e999}', "`r1_gamma` must be a number >= 0, got Infinity"),
        ('{"r1_gamma": 1' + "0" * 400 + "}", "`r1_gamma` must be a number >= 0, got 1000"),
        ("[1, 2]", "must be an object with G_lr, D_lr, r1_gamma, got [1, 2]"),
        ('{"G_lr": 1,', "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("\udcff", "is not valid JSON"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(path: Path, text: str, message: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    live, told = read(path, LIVE)
    assert live == LIVE
    assert len(told) == 1
    assert message in told[0]
    assert str(path) in told[0]
    assert told[0].endswith("; nothing was changed")


def test_one_bad_value_keeps_the_good_ones_from_half_a_change(path: Path) -> None:
    edit(path, r1_gamma=2, G_lr="fast", D_lr=None)
    live, told = read(path, LIVE)
    assert live == LIVE
    assert len(told) == 2


def test_a_missing_file_is_written_anew(path: Path) -> None:
    path.unlink()
    now = Live(0.001, 0.001, 3.0)
    live, (message,) = read(path, now)
    assert live == now
    assert "missing; written anew" in message
    assert read(path, now) == (now, [])


def test_a_file_that_cannot_be_read_or_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "live.json").mkdir()
    live, (message,) = read(tmp_path / "live.json", LIVE)
    assert (live, "cannot be read" in message) == (LIVE, True)
    live, (message,) = read(tmp_path / "gone" / "live.json", LIVE)
    assert (live, "cannot be written" in message) == (LIVE, True)
    with pytest.raises(TrainingError, match=r"live\.json cannot be written: No such file"):
        write_initial(tmp_path / "gone" / "live.json", LIVE)
