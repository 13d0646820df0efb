from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from training.config import TrainingConfig
from training.errors import SetupError, TrainingError
from training.presets import resolve
from training.runs.folder import RunFolder, VersionFacts, is_alive, list_runs, read_run

CONFIG = resolve("tiny", {"data": {"tags": ["pov"], "fold": "2/5"}}, size=(48, 64), gpus=1)
VERSION = VersionFacts(
    dataset="/v/3", version=3, version_hash="abc", inverted=True, size=(48, 64), labels=("a", "é")
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "models" / "first")


def test_it_makes_its_folders_and_takes_those_there_are(folder: RunFolder) -> None:
    (folder.samples / "a.png").write_bytes(b"")
    assert RunFolder(folder.path).samples.joinpath("a.png").exists()
    assert folder.snapshots.is_dir()
    assert folder.tensorboard.is_dir()


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(SetupError, match=r"run folder .*run cannot be made: .*; give another"):
        RunFolder(tmp_path / "run")


def test_the_configuration_comes_back(folder: RunFolder) -> None:
    assert folder.read_config() is None
    assert folder.read_version() is None
    folder.write_config(CONFIG, VERSION)
    assert folder.read_config() == CONFIG
    assert folder.read_version() == VERSION
    assert not list(folder.path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "damaged"),
        ("{}", "'format' is missing"),
        ('{"format": 2}', "format must be 1, got 2"),
        ('{"format": 1}', "'config' is missing"),
        ('{"format": 1, "config": {"run": {"sead": 1}}}', "`run.sead`: Extra inputs"),
    ],
)
def test_a_damaged_configuration_is_named(folder: RunFolder, text: str, message: str) -> None:
    folder.config.write_text(text)
    with pytest.raises(SetupError, match=r"config\.json is damaged") as caught:
        folder.read_config()
    assert message in str(caught.value)


def test_a_run_tells_how_far_it_has_come(folder: RunFolder) -> None:
    record = folder.begin(CONFIG, VERSION)
    assert (record.status, record.pid, record.cur_nimg) == ("running", os.getpid(), 0)
    folder.update(cur_nimg=5000, snapshots=("kimg-000005.000",), newest_snapshot="kimg-000005.000")
    folder.update(status="stopped", reason="SIGTERM")
    back = read_run(folder.path)
    assert (back.kimg, back.status, back.reason) == (5.0, "stopped", "SIGTERM")
    assert back.labels == ("a", "é")
    assert back.updated >= back.started


def test_a_run_is_alive_while_its_trainer_holds_it(folder: RunFolder) -> None:
    with folder.lock():
        folder.begin(CONFIG, VERSION)
        (record,) = list_runs(folder.path.parent)
        assert is_alive(record)
        with (
            pytest.raises(SetupError, match=f"process {os.getpid()}"),
            RunFolder(folder.path).lock(),
        ):
            pass
    # It ended without a word: the record still says that it is running.
    assert read_run(folder.path).status == "running"
    assert not is_alive(record)


def test_a_second_start_keeps_what_was_there(folder: RunFolder) -> None:
    first = folder.begin(CONFIG, VERSION)
    folder.update(started=first.started.replace(year=2020), status="failed", reason="NaN")
    folder.add_metrics("kimg-000005.000", {"fid": 12.5})
    longer = TrainingConfig.model_validate(
        CONFIG.model_dump() | {"run": CONFIG.run.model_dump() | {"total_kimg": 300}}
    )
    again = RunFolder(folder.path).begin(longer, VERSION, 5000)
    assert (again.started.year, again.status, again.reason) == (2020, "running", "")
    assert (again.cur_nimg, again.total_kimg, len(again.metrics)) == (5000, 300, 1)


def test_figures_of_another_process_stay(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    RunFolder(folder.path).add_metrics("kimg-000005.000", {"fid": 12.5, "kid": 0.1})
    folder.update(cur_nimg=6000)
    folder.add_metrics("kimg-000005.000", {"fid": 11.0})
    folder.add_metrics("kimg-000006.000", {"fid": 10.0})
    found = {(m.snapshot[-5:], m.name): m.value for m in read_run(folder.path).metrics}
    assert found == {("5.000", "kid"): 0.1, ("5.000", "fid"): 11.0, ("6.000", "fid"): 10.0}
    assert read_run(folder.path).cur_nimg == 6000


def test_two_writers_lose_nothing(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: RunFolder(folder.path).add_metrics(f"{n}", {"fid": n}), range(24)))
    assert {m.value for m in read_run(folder.path).metrics} == set(range(24))


def test_a_damaged_record_is_written_anew_by_its_trainer(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    folder.run.write_text("{")
    assert folder.update(cur_nimg=7).version_hash == "abc"
    assert read_run(folder.path).cur_nimg == 7
    folder.run.write_text("{")
    with pytest.raises(SetupError, match="damaged"):
        RunFolder(folder.path).update(cur_nimg=8)


def test_readers_never_see_half_a_record(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [folder.update(cur_nimg=n) for n in range(40)])
        seen = []
        while not writing.done():
            seen.append(read_run(folder.path).cur_nimg)
    assert seen == sorted(seen)
    assert json.loads(folder.run.read_text())["cur_nimg"] == 39


def test_a_record_that_cannot_be_written_is_named(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    (folder.path / ".tmp-run.json").mkdir()
    with pytest.raises(TrainingError, match=r"run\.json cannot be written: Is a directory"):
        folder.update(cur_nimg=1)
    assert read_run(folder.path).cur_nimg == 0


def test_wrong_fields_are_our_own_mistake(folder: RunFolder) -> None:
    folder.begin(CONFIG, VERSION)
    with pytest.raises(AssertionError, match="colour"):
        folder.update(colour="blue")
    with pytest.raises(ValueError, match="status"):
        folder.update(status="idle")
