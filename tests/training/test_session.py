"""From what is asked for to a training under way: settings, versions, transfers, changes."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.data.making import pixels_of
from tests.training.support import (
    arguments,
    assert_same_run,
    rows_of,
    tensors_of,
    ticks_of,
    trained,
    version_of,
    version_of_pictures,
)
from training.command import main
from training.dry_run import describe, dry_run
from training.presets import resolve
from training.request import Request
from training.runs import snapshots
from training.runs.record import read_run


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return version_of(tmp_path_factory.mktemp("data") / "version")


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of the next size, with labels."""
    pictures = [pixels_of(number, (32, 24)) for number in range(12)]
    folder = tmp_path_factory.mktemp("larger") / "version"
    return version_of_pictures(folder, pictures, ("shoe", "hat", "coat"))


@pytest.fixture(scope="module")
def begun(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("begun")
    trained(arguments(version, folder / "run", total_kimg=0.032), folder / "log")
    return folder / "run"


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


def said(capsys: pytest.CaptureFixture[str], line: list[str], code: int) -> str:
    assert main(line) == code
    return capsys.readouterr().err


# -- dry run --------------------------------------------------------------------------------------


def test_a_dry_run_tells_all_and_writes_nothing(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(version, tmp_path / "run", "--dry-run")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in (
        "20 of 20, 12×16 (width × height)",
        "no: mirrored text and logos would be learned",
        "parameters",
        "memory on each GPU",
        "at least",
    ):
        assert words in out
    assert not (tmp_path / "run").exists()
    assert {path.name for path in version.iterdir()} == {"manifest.json", "shards"}


@pytest.mark.parametrize("preset", ["sneaker", "stylegan2-ada", "tiny"])
def test_what_it_prints_can_be_put_into_a_settings_file(
    version: Path, capsys: pytest.CaptureFixture[str], preset: str
) -> None:
    config = resolve(preset, {"data": {"tags": ['a "b"', "ü"]}}, size=(384, 512), gpus=1)
    tables: dict[str, Any] = tomllib.loads(describe(config))
    again = resolve(tables["preset"], tables["train"], size=(16, 16), gpus=1)
    assert again == config


def test_its_json_is_the_whole_of_it(version: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = {"run": {"device": "cpu"}, "network": {"channel_base": 128}}
    dry_run(Request(str(version), Path("none"), "tiny", overrides), json_output=True)
    told = json.loads(capsys.readouterr().out)
    assert told["config"] == resolve("tiny", overrides, size=(16, 12), gpus=1).model_dump(
        mode="json"
    )
    cost = told["cost"]
    assert (cost["pictures"], cost["width"], cost["height"]) == (20, 12, 16)
    assert cost["sec_per_kimg"] > 0
    assert cost["seconds"] == pytest.approx(cost["sec_per_kimg"] * 100)


def test_of_a_run_that_exists_it_shows_how_it_would_go_on(
    version: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main([str(version), "--run", str(run), "--kimg", "9", "--dry-run", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["run"]["total_kimg"] == 9
    assert config["loss"]["r1_gamma"] == 0.5
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


# -- going on -------------------------------------------------------------------------------------


def test_a_run_knows_its_settings(version: Path, run: Path) -> None:
    """Nothing but the version and the run is given: all else is as it was, the device included."""
    assert main([str(version), "--run", str(run), "--kimg", "0.048"]) == 0
    assert read_run(run).cur_nimg == 48
    assert len(ticks_of(run)) == 3
    assert rows_of(run / "steps.jsonl")[-1]["step"] == 5


class _Gone(io.StringIO):
    """A terminal, or a process that read along, which is there no more."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def test_a_run_whose_words_nobody_hears_goes_on(
    version: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", _Gone())
    assert main([str(version), "--run", str(run), "--kimg", "0.048"]) == 0
    assert (read_run(run).status, read_run(run).cur_nimg) == ("finished", 48)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch": 16}, "`optimizer.batch` is 8 in this run and cannot change, got 16"),
        ({"channel_max": 16}, "`network.channel_max` is 8 in this run and cannot change, got 16"),
        ({"seed": 3}, "`run.seed` is 0 in this run and cannot change, got 3"),
        ({"conditional": True}, "`data.conditional`"),
    ],
)
def test_what_would_make_it_another_run_is_refused(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    version: Path,
    settings: dict[str, Any],
    words: str,
) -> None:
    before = (run / "config.json").read_bytes()
    assert words in said(capsys, arguments(version, run, **settings), 2)
    assert (run / "config.json").read_bytes() == before


def test_another_preset_is_refused(
    version: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, arguments(version, run, preset="sneaker"), 2)
    assert "`preset` is 'tiny' in this run and cannot change, got 'sneaker'" in told


def test_a_version_of_another_size_is_refused(
    larger: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, [str(larger), "--run", str(run)], 2)
    assert f"`size` of the data is (16, 12) in this run, got (32, 24) from {larger}" in told
    assert "start from this run's networks (--transfer)" in told


def test_a_version_with_other_contents_is_refused(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = version_of(tmp_path / "version", 21)
    assert "`version_hash` of the data is" in said(capsys, [str(other), "--run", str(run)], 2)


def test_a_version_that_was_moved_is_the_same(version: Path, run: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(version, tmp_path / "moved")
    assert main([str(moved), "--run", str(run), "--kimg", "0.04"]) == 0
    assert read_run(run).dataset == str(moved)


def test_gamma_of_a_begun_run_is_changed_elsewhere(
    version: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, arguments(version, run, total_kimg=0.032, r1_gamma=4), 0)
    assert "loss.r1_gamma: 4.0 was asked for, but a run takes it from live.json" in told


def test_a_start_that_saved_nothing_binds_nobody(
    version: Path, larger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start is killed before its first snapshot, the second asks for other settings."""
    run = tmp_path / "run"
    said(capsys, arguments(version, run, total_kimg=0), 0)
    shutil.rmtree(run / "snapshots")
    assert (run / "config.json").exists()
    line = arguments(larger, run, total_kimg=0.016, batch=4, G_lr=0.001, mode="off")
    told = said(capsys, line, 0)
    assert "nothing of this run was saved yet: it begins anew with what is asked for now" in told
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["optimizer"]["batch"] == 4
    assert config["version"]["size"] == [32, 24]
    assert json.loads((run / "live.json").read_text())["G_lr"] == 0.001
    fresh = tmp_path / "fresh"
    said(capsys, arguments(larger, fresh, total_kimg=0.016, batch=4, G_lr=0.001, mode="off"), 0)
    assert_same_run(run, fresh)


def test_the_same_command_after_a_start_that_saved_nothing(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    said(capsys, arguments(version, run, total_kimg=0), 0)
    shutil.rmtree(run / "snapshots")
    assert "begins anew" not in said(capsys, arguments(version, run, total_kimg=0), 0)
    # Without settings of its own, a start takes those of the one before.
    shutil.rmtree(run / "snapshots")
    assert main([str(version), "--run", str(run)]) == 0
    assert read_run(run).total_kimg == 0


# -- transfer -------------------------------------------------------------------------------------


def of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def test_both_generators_begin_as_the_average(begun: Path, version: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = trained(
        arguments(version, run, "--transfer", str(begun), total_kimg=0), tmp_path / "log"
    )
    source, found = tensors_of(begun), tensors_of(run)
    average = of(source, "G_ema.")
    assert not all(torch.equal(value, average[key]) for key, value in of(source, "G.").items())
    for prefix, expected in (("G.", average), ("G_ema.", average), ("D.", of(source, "D."))):
        for key, value in of(found, prefix).items():
            assert torch.equal(value, expected[key]), f"{prefix}{key}"
    total = len(of(found, "G.")) + len(of(found, "D."))
    assert f"starting from {begun}/snapshots/kimg-000000.032: {total} of {total} tensors" in said
    assert found["ada.p"] == 0
    assert read_run(run).cur_nimg == 0
    # A good average is not given up for an early generator, now or when the run goes on.
    assert json.loads((run / "config.json").read_text())["config"]["optimizer"]["ema_ramp"] is None
    trained([str(version), "--run", str(run), "--kimg", "0.016"], tmp_path / "log2")
    assert json.loads((run / "config.json").read_text())["config"]["optimizer"]["ema_ramp"] is None


def test_another_size_with_labels_takes_over_what_fits(
    begun: Path, larger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    line = arguments(
        larger, run, "--transfer", str(begun / "snapshots"), total_kimg=0.016, conditional=True
    )
    told = said(capsys, line, 0)
    assert "tensors taken over" in told
    initialized = [text for text in told.splitlines() if ": initialized, " in text]
    assert any("32x24" in text and "not in the source" in text for text in initialized)
    assert any("embed" in text for text in initialized)
    assert not any("synthesis" in text and "16x12.conv" in text for text in initialized)
    assert read_run(run).labels == ("coat", "hat", "shoe")
    assert len(rows_of(run / "steps.jsonl")) == 2


def test_frozen_layers_stay_as_they_are(begun: Path, larger: Path, tmp_path: Path) -> None:
    """After steps, and after the run has gone on; the layers below are trained."""
    source = tmp_path / "source"
    trained(arguments(larger, source, "--transfer", str(begun), total_kimg=0.016), tmp_path / "log")
    run = tmp_path / "run"
    line = arguments(larger, run, "--transfer", str(source), "--freeze-d", "1", total_kimg=0.016)
    trained(line, tmp_path / "log")
    trained([*line, "--kimg", "0.032"], tmp_path / "log")
    before, after = of(tensors_of(source), "D."), of(tensors_of(run), "D.")
    still = {key for key, value in after.items() if torch.equal(value, before[key])}
    frozen = {key for key in after if "32x24" in key}
    assert frozen
    assert still == frozen
    assert not any("32x24" in name for name in of(tensors_of(run), "D_opt."))


def test_too_many_frozen_layers_are_named(
    begun: Path, version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--transfer", str(begun), "--freeze-d", "9")
    told = said(capsys, arguments(version, tmp_path / "run", *more), 2)
    assert "`optimizer.freeze_d` must be at most" in told


def test_a_transfer_from_inverted_pictures_is_remarked_on(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inverted = version_of(tmp_path / "version", inverted=True)
    line = arguments(inverted, tmp_path / "run", "--transfer", str(begun), total_kimg=0)
    assert "note: one of the two is trained on inverted pictures" in said(capsys, line, 0)


def test_a_snapshot_of_another_program_is_refused(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    snapshots.save(source, "kimg-000001.000", snapshots.Snapshot({"G.weight": torch.zeros(3)}, {}))
    line = arguments(version, tmp_path / "run", "--transfer", str(source))
    told = said(capsys, line, 1)
    assert "the checkpoint must hold tensors that fit G_ema, D, none of its 1 does" in told


def test_the_way_a_run_is_kept(begun: Path) -> None:
    assert {path.name for path in begun.iterdir() if not path.name.startswith(".")} == {
        *("config.json", "index.npz", "live.json", "run.json", "steps.jsonl", "ticks.jsonl"),
        *("samples", "snapshots", "tensorboard"),
    }
    values = snapshots.load_weights(begun / "snapshots" / "kimg-000000.032").values
    assert values["cur_nimg"] == 32
    assert (values["inverted"], values["size"], values["labels"]) == (False, [16, 12], [])
    assert values["version_hash"] == read_run(begun).version_hash
    assert values["config"]["preset"] == "tiny"
    assert read_run(begun).pid != os.getpid()


# -- what a user would trip over ------------------------------------------------------------------


def test_a_run_that_has_its_total_says_so_and_keeps_it(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(version, run)) == 0
    before = (run / "config.json").read_text()
    names = snapshots.names(run / "snapshots")
    capsys.readouterr()
    assert main(arguments(version, run, "--kimg", "0.01")) == 0
    assert "has been trained on its 0.08 kimg; `--kimg` beyond that" in capsys.readouterr().err
    assert (run / "config.json").read_text() == before
    assert snapshots.names(run / "snapshots") == names


def test_a_start_that_is_refused_leaves_no_folder(version: Path, tmp_path: Path) -> None:
    for wrong in (["--tag", "unknown"], ["--freeze-d", "1"], ["--transfer", str(tmp_path)]):
        assert main([*arguments(version, tmp_path / "run"), *wrong]) == 2
        assert not (tmp_path / "run").exists()


def test_a_transfer_into_a_run_that_goes_on_is_told_of(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(version, run)) == 0
    assert main([*arguments(version, run), "--transfer", str(run)]) == 0
    assert "--transfer counts for a new run only" in capsys.readouterr().err


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize("size", [(64, 48), (128, 128), (512, 384)])
def test_every_gpu_of_a_preset_holds_whole_groups(gpus: int, size: tuple[int, int]) -> None:
    for preset in ("sneaker", "stylegan2-ext"):
        config = resolve(preset, {}, size=size, gpus=gpus)
        at_once, group = config.optimizer.batch_gpu, config.network.mbstd_group
        assert at_once is not None
        assert group is not None
        assert at_once % group == 0
