"""Processes that train together, on the CPU with gloo: as one would, and they end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.support import (
    Started,
    arguments,
    rows_of,
    start,
    tensors_of,
    ticks_of,
    trained,
    version_of,
)
from training import distributed
from training.distributed import Team, pick_device
from training.errors import SetupError
from training.runs.record import read_run

# Rounding differs with how a batch is cut up, and the first steps of Adam look at the sign of a
# gradient alone: where it is no more than rounding, they go astray. A larger eps keeps them calm.
CALM: dict[str, Any] = {
    "eps": 1e-3,
    "mbstd_group": 2,
    "total_kimg": 0.128,
    "conditional": True,
    "target": 0.9,  # about which the signs of two halves of a batch disagree
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return version_of(tmp_path_factory.mktemp("data") / "version", labels=["shoe", "hat", "hat"])


def together(line: list[str], log: Path, world: int = 2) -> list[Started]:
    """Start processes as torchrun does, without its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    return [
        start(
            line,
            log.with_name(f"{log.name}-{rank}"),
            {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(world),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(world),
            },
        )
        for rank in range(world)
    ]


def all_trained(line: list[str], log: Path) -> None:
    for member in together(line, log):
        assert member.ended() == 0, member.said()


@pytest.fixture(scope="module")
def alone(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    trained(arguments(version, folder / "run", **CALM), folder / "log")
    return folder / "run"


def assert_close(run: Path, other: Path, tolerance: float) -> None:
    """Two runs must have the same figures in every step, and the same weights, within rounding."""
    found, expected = rows_of(run / "steps.jsonl"), rows_of(other / "steps.jsonl")
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for one, two in zip(found, expected, strict=True):
        assert one == pytest.approx(two, rel=tolerance, abs=tolerance), one["step"]
    tensors = tensors_of(other)
    for name, value in tensors_of(run).items():
        torch.testing.assert_close(
            value, tensors[name], rtol=tolerance, atol=tolerance, msg=partial("{}: {}".format, name)
        )


def test_the_run_alone_has_every_phase_in_it(alone: Path) -> None:
    steps = rows_of(alone / "steps.jsonl")
    assert len(steps) == 16
    assert {"loss_G", "loss_D", "real_sign", "r1", "path_length", "ada_p"} <= steps[0].keys()
    assert steps[-1]["ada_p"] > 0
    assert tensors_of(alone)["pl.mean"] > 0
    strengths = [v for k, v in tensors_of(alone).items() if k.startswith("G.") and "noise_str" in k]
    assert strengths
    assert all(strength.abs().sum() > 0 for strength in strengths)


@pytest.mark.parametrize("settings", [{}, {"batch_gpu": 2}])
def test_two_processes_are_one(
    tmp_path: Path, version: Path, alone: Path, settings: dict[str, Any]
) -> None:
    """Also when they are stopped between two adaptations of the chance of augmentation."""
    for kimg in (0.048, 0.128):
        asked = CALM | settings | {"total_kimg": kimg}
        all_trained(arguments(version, tmp_path / "run", **asked), tmp_path / "log")
    assert_close(tmp_path / "run", alone, 2e-4)


def test_accumulated_parts_are_the_whole(tmp_path: Path, version: Path, alone: Path) -> None:
    line = arguments(version, tmp_path / "run", **(CALM | {"batch_gpu": 4}))
    trained(line, tmp_path / "log")
    assert_close(tmp_path / "run", alone, 2e-4)


def test_another_seed_is_farther_than_rounding(tmp_path: Path, version: Path, alone: Path) -> None:
    line = arguments(version, tmp_path / "run", **(CALM | {"seed": 1, "total_kimg": 0.016}))
    trained(line, tmp_path / "log")
    one, two = (rows_of(run / "steps.jsonl")[0] for run in (tmp_path / "run", alone))
    assert one != pytest.approx(two, rel=1e-2, abs=1e-2)


# -- torchrun -------------------------------------------------------------------------------------


def torchrun(line: list[str]) -> subprocess.Popen[str]:
    at = line.index("--run")
    line = [*line[:at], "--run-folder", *line[at + 1 :]]  # `--run` is torchrun's
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--standalone", "--nproc-per-node", "2", "-m", "training", *line),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_torchrun_passes_on_the_wish_to_stop(tmp_path: Path, version: Path, alone: Path) -> None:
    """All save and end, although torchrun itself ends with 1."""
    run = tmp_path / "run"
    endless = arguments(version, run, **(CALM | {"total_kimg": 100, "tick_kimg": 1}))
    with torchrun(endless) as process:
        until = time.monotonic() + 120
        while not list((run / "samples").glob("kimg-*.png")) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    record = read_run(run)
    assert (record.status, record.cur_nimg) == ("stopped", 128), err  # after 16 steps they ask
    assert "stopped at 0.128 kimg; the same command goes on" in err
    assert_close(run, alone, 2e-4)


# -- together to the end --------------------------------------------------------------------------


def said_by(members: list[Started], codes: list[int]) -> list[str]:
    assert [member.ended() for member in members] == codes, [m.said() for m in members]
    return [member.said() for member in members]


def test_what_stops_the_first_process_ends_all(tmp_path: Path, version: Path) -> None:
    run = tmp_path / "run"
    (run / "ticks.jsonl").mkdir(parents=True)  # nothing can be appended to that
    line = arguments(version, run, **CALM)
    first, second = said_by(together(line, tmp_path / "log"), [1, 1])
    assert "Is a directory" in first
    assert "error: another process of this training has ended" in second
    assert "Traceback" not in second


def test_a_bad_version_ends_all_before_the_first_step(tmp_path: Path) -> None:
    version = version_of(tmp_path / "version")
    shard = version / "shards" / "00002.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    line = arguments(version, tmp_path / "run", **CALM)
    first, second = said_by(together(line, tmp_path / "log"), [1, 1])
    assert "00002.tar: has" in first
    assert "another process of this training has ended" in second


def test_a_killed_process_ends_all_and_is_written_down(tmp_path: Path, version: Path) -> None:
    run = tmp_path / "run"
    line = arguments(version, run, **(CALM | {"total_kimg": 100}))
    first, second = together(line, tmp_path / "log")
    first.wait_for(lambda: (run / "ticks.jsonl").exists() and len(ticks_of(run)) > 1)
    second.process.kill()
    assert first.ended() == 1
    assert "error: another process of this training has ended" in first.said()
    assert read_run(run).status == "failed"
    assert "another process" in read_run(run).reason


def test_a_batch_that_cannot_be_divided_ends_all(tmp_path: Path, version: Path) -> None:
    line = arguments(version, tmp_path / "run", batch=9)
    first, _ = said_by(together(line, tmp_path / "log"), [2, 1])
    assert "`optimizer.batch` must be a multiple of 2 GPUs × 4 images at once, got 9" in first
    assert "use a batch of 8" in first


# -- one process ----------------------------------------------------------------------------------


def test_one_process_is_its_own_mean() -> None:
    team = Team(0, 1, torch.device("cpu"))
    value = torch.tensor([1.0, 2.0])
    assert team.mean_(value) is value
    team.share([value])
    team.wait()
    assert value.tolist() == [1, 2]
    assert team.leads
    assert team.any(True)
    assert not team.any(False)


def test_without_torchrun_there_is_one() -> None:
    assert distributed.world_size() == 1
    team = distributed.join(torch.device("cpu"))
    assert (team.rank, team.world) == (0, 1)
    distributed.leave()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_cpu_must_be_asked_for() -> None:
    assert pick_device("cpu") == pick_device("auto") == torch.device("cpu")
    with pytest.raises(SetupError, match=r"no GPU that PyTorch can use; .* with `--device cpu`"):
        pick_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    there = torch.cuda.device_count()
    monkeypatch.setenv("LOCAL_RANK", str(there))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(there + 1))
    with pytest.raises(SetupError, match=f"{there + 1} GPUs are asked for, this machine has"):
        pick_device("cuda")
