"""Stopped, killed, out of disk, damaged: the same command again, and the same run comes out."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.training.runs.test_snapshots_killed import mount_small_disk
from tests.training.support import (
    Started,
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
from training.runs.record import is_alive, read_run

# NONESUCH_KILLS=20 takes more of them, which is half a minute longer.
MOMENTS = int(os.environ.get("NONESUCH_KILLS", "2"))
LONG: dict[str, Any] = {"total_kimg": 0.16, "tick_kimg": 0.032, "snapshot_ticks": 2}
"""20 steps, 5 ticks, 3 snapshots."""


@dataclass
class Undisturbed:
    """A run that nobody disturbs, and how long it steps."""

    version: Path
    run: Path
    seconds: float

    def line(self, run: Path, **settings: Any) -> list[str]:
        return arguments(self.version, run, **(LONG | settings))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    made = Undisturbed(version_of(folder / "version"), folder / "run", 0)
    started = start(made.line(made.run), folder / "log")
    started.wait_for((made.run / "run.json").exists)
    began = time.monotonic()
    assert started.ended() == 0, started.said()
    made.seconds = time.monotonic() - began
    return made


def begun(run: Path, line: list[str], log: Path) -> Started:
    """Start a run and wait until it trains."""
    before = (run / "run.json").stat().st_mtime_ns if (run / "run.json").exists() else 0
    started = start(line, log)
    started.wait_for(
        lambda: (run / "run.json").exists() and (run / "run.json").stat().st_mtime_ns != before
    )
    return started


def test_the_undisturbed_run_has_it_all(undisturbed: Undisturbed) -> None:
    steps, ticks = rows_of(undisturbed.run / "steps.jsonl"), ticks_of(undisturbed.run)
    assert [row["cur_nimg"] for row in steps] == list(range(8, 161, 8))
    assert [row["step"] for row in steps] == list(range(20))
    assert [row["cur_nimg"] for row in ticks] == list(range(32, 161, 32))
    assert [row["tick"] for row in ticks] == list(range(1, 6))
    assert [row["step"] for row in steps if "r1" in row] == list(range(0, 20, 2))
    assert [row["step"] for row in steps if "path_length" in row] == list(range(0, 20, 3))
    assert snapshots.names(undisturbed.run / "snapshots") == [
        "kimg-000000.064",
        "kimg-000000.128",
        "kimg-000000.160",
    ]
    assert tensors_of(undisturbed.run)["ada.p"] > 0
    noise = [v for k, v in tensors_of(undisturbed.run).items() if "noise_strength" in k]
    assert noise
    assert all(value.abs().sum() > 0 for value in noise)


def test_killed_at_random_moments(tmp_path: Path, undisturbed: Undisturbed) -> None:
    run, chance = tmp_path / "run", random.Random(11)
    line = undisturbed.line(run)
    reached = [0]
    for _ in range(MOMENTS):
        started = begun(run, line, tmp_path / "log")
        time.sleep(chance.uniform(0, undisturbed.seconds))
        if started.process.exitcode is None:
            started.process.kill()
        assert started.ended() in (0, -signal.SIGKILL), started.said()
        assert not is_alive(read_run(run))
        snapshot, damage = snapshots.newest(run / "snapshots")
        assert damage == []
        reached.append(0 if snapshot is None else snapshot.values["cur_nimg"])
    assert reached == sorted(reached)
    trained(line, tmp_path / "log")
    assert_same_run(run, undisturbed.run)
    assert read_run(run).status == "finished"


def test_stopped_at_random_moments(tmp_path: Path, undisturbed: Undisturbed) -> None:
    run, chance = tmp_path / "run", random.Random(12)
    line = undisturbed.line(run)
    for _ in range((MOMENTS + 1) // 2):
        started = begun(run, line, tmp_path / "log")
        time.sleep(chance.uniform(0, undisturbed.seconds / MOMENTS))
        started.process.terminate()
        assert started.ended() == 0, started.said()
        record = read_run(run)
        assert record.status == "stopped", started.said()
        assert f"stopped at {record.kimg:g} kimg; the same command goes on" in started.said()
        assert record.newest_snapshot == snapshots.name_of(record.cur_nimg)
    trained(line, tmp_path / "log")
    assert_same_run(run, undisturbed.run)


def test_the_real_command_saves_when_it_is_told_to_stop(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    """Told so by SIGTERM, and in the middle of its first tick."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *undisturbed.line(run), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with process:
        until = time.monotonic() + 60
        while not list((run / "samples").glob("kimg-*.png")) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    record = json.loads(out)
    assert record["status"] == "stopped"
    assert 0 < record["cur_nimg"] < 160
    assert record["snapshots"] == [snapshots.name_of(record["cur_nimg"])]
    assert len(rows_of(run / "steps.jsonl")) == record["cur_nimg"] / 8
    trained(undisturbed.line(run), tmp_path / "log")
    assert_same_run(run, undisturbed.run)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def test_a_damaged_newest_snapshot_is_named_and_the_one_before_used(
    tmp_path: Path, undisturbed: Undisturbed
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run, run)
    damaged = run / "snapshots" / "kimg-000000.160" / "weights.safetensors"
    flip_a_bit(damaged)
    said = trained(undisturbed.line(run), tmp_path / "log")
    assert f"passed over: {damaged} is damaged" in said
    assert f"going on from {run / 'snapshots' / 'kimg-000000.128'}" in said
    assert_same_run(run, undisturbed.run)


def test_only_damaged_snapshots_are_no_reason_to_begin_anew(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run, run)
    files = sorted((run / "snapshots").glob("*/optimizers.safetensors"))
    assert len(files) == 3
    for file in files:
        flip_a_bit(file)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.jsonl")}
    assert main(undisturbed.line(run)) == 1
    said = capsys.readouterr().err
    assert f"none of the 3 snapshots in {run / 'snapshots'} is whole" in said
    assert all(f"{file} is damaged" in said for file in files)
    assert "put back a copy of one of them; to begin the run anew, take them all out" in said
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*.jsonl")}


def test_a_second_trainer_is_refused(
    tmp_path: Path, undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    started = begun(run, undisturbed.line(run, total_kimg=100), tmp_path / "log")
    assert is_alive(read_run(run))
    assert main(undisturbed.line(run)) == 2
    assert f"is being trained in by process {started.process.pid}" in capsys.readouterr().err
    started.process.terminate()
    assert started.ended() == 0, started.said()


# -- disk and memory ------------------------------------------------------------------------------


def train_on_a_small_disk(line: list[str], disk: Path, options: str, kept: Path) -> int:
    if not mount_small_disk(disk, options):
        return 77
    code = main(line)
    shutil.copytree(disk, kept)  # nobody else sees this disk
    return code


@pytest.mark.parametrize("full", ["bytes", "names"])
def test_a_full_disk_leaves_the_last_good_snapshot(
    tmp_path: Path, undisturbed: Undisturbed, full: str
) -> None:
    """The disk holds what an undisturbed run with three snapshots does; this one has five."""
    found = list(undisturbed.run.rglob("*"))
    if full == "bytes":  # refused before a byte is written, since some room is left over
        used = sum(4096 + -(-path.stat().st_size // 4096) * 4096 for path in found)
        options, words = f"size={used + (1 << 20)}", "MB are free; make room, or keep fewer"
    else:  # room for the bytes and not for as many files: found out in the middle
        options, words = f"size=60m,nr_inodes={len(found)}", "No space left on device"
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    line = undisturbed.line(disk / "run", snapshot_ticks=1, keep_last=9)
    started = start_body(tmp_path / "log", train_on_a_small_disk, line, disk, options, kept)
    code = started.ended()
    if code == 77:
        pytest.skip("this machine lets nobody mount a small disk")
    assert code == 1, started.said()
    assert words in started.said().rpartition("error: ")[2]
    assert "Traceback" not in started.said()
    record = read_run(kept / "run")
    assert not is_alive(record)
    if full == "bytes":  # else not even the record can be replaced
        assert record.status == "failed"
        assert words in record.reason
    snapshot, damage = snapshots.newest(kept / "run" / "snapshots")
    assert damage == []
    assert snapshot is not None
    assert snapshot.values["cur_nimg"] >= 32
    if full == "bytes":
        shutil.move(kept / "run", tmp_path / "run")  # to a disk with room
        trained(undisturbed.line(tmp_path / "run"), tmp_path / "log")
        assert_same_run(tmp_path / "run", undisturbed.run)
