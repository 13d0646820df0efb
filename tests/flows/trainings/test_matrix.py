"""A matrix of trainings: what it trains, side by side, stopped, killed, and one that fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_catalog import models as registry
from data_catalog.errors import VersionNotFoundError
from data_catalog.models import Model
from flows.settings import ConfigError, DatasetConfig, parse
from flows.trainings import matrix as matrix_module
from flows.trainings.matrix import MatrixOptions, error_in, is_of_matrix, plan_matrix
from tests.flows.trainable import RECIPE, TRAIN, publish_pictures
from tests.flows.world import REPOSITORY, Outcome, World
from training.errors import SetupError

pytestmark = pytest.mark.xdist_group("train")

Run = Callable[..., Outcome]

SPLITS = [{"name": "pov", "tags": ["pov"]}, {"name": "rest", "without_tags": ["pov"]}]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with versions: the whole, pov, rest, pov again. Nothing is trained in it."""
    folder = tmp_path_factory.mktemp("published")
    publish_pictures(folder / "catalog")
    publish_pictures(folder / "catalog", 8, split="pov")
    publish_pictures(folder / "catalog", first=20, split="rest")
    publish_pictures(folder / "catalog", 12, split="pov")
    return folder


def config_in(folder: Path, matrix: dict[str, Any] | None = None, **train: Any) -> DatasetConfig:
    raw = {
        "dataset": {"name": "shoes", "root": "catalog"},
        "splits": SPLITS,
        "train": {**TRAIN, **train},
        "matrix": matrix or {},
    }
    return parse(raw, name="nonesuch.toml", folder=folder)


def names(config: DatasetConfig, **options: Any) -> list[str]:
    return [cell.name for cell in plan_matrix(config, MatrixOptions(**options)).cells]


# ---- What is trained. ----------------------------------------------------------------------------


def test_every_version_with_every_preset_and_every_seed(published: Path) -> None:
    config = config_in(
        published,
        {"splits": ["pov", "rest"], "versions": [4, 1], "presets": ["tiny"], "seeds": [0, 7]},
    )
    assert names(config) == [f"v{v}-tiny-s{s}" for v in (4, 3, 1) for s in (0, 7)]
    plan = plan_matrix(config, MatrixOptions(presets=("tiny", "sneaker"), seeds=(3, 3)))
    assert [cell.name for cell in plan.cells][:2] == ["v4-tiny-s3", "v4-sneaker-s3"]
    first = plan.cells[0]
    assert first.run == published / "catalog/models/v4-tiny-s3"
    assert first.start.arguments[0] == str(published / "catalog/versions/4")
    assert "run.seed=3" in first.start.arguments
    assert (first.settings.run.seed, first.settings.run.total_kimg) == (3, 0.032)
    assert not (published / "catalog/models").exists()


def test_options_win_over_the_configuration(published: Path) -> None:
    config = config_in(published, {"splits": ["pov"], "versions": [1], "seeds": [5]})
    assert names(config, splits=("rest",)) == ["v3-tiny-s5"]
    assert names(config, versions=(2,), seeds=(1,)) == ["v2-tiny-s1"]
    (cell,) = plan_matrix(
        config, MatrixOptions(versions=(2,), settings={"run.total_kimg": 9.0, "loss.r1_gamma": 2})
    ).cells
    assert (cell.settings.run.total_kimg, cell.settings.loss.r1_gamma) == (9.0, 2.0)
    assert "loss.r1_gamma=2" in cell.start.arguments


def test_without_any_it_is_the_newest_of_the_whole_set_once(published: Path) -> None:
    assert names(config_in(published)) == ["v1-tiny-s0"]


def test_versions_and_settings_that_are_wrong_are_found_at_once(published: Path) -> None:
    config = config_in(published)
    with pytest.raises(VersionNotFoundError, match="no version of the split 'odd'"):
        names(config, splits=("odd",))
    with pytest.raises(SetupError, match="preset 'tinny' is unknown; did you mean 'tiny'"):
        names(config, presets=("tinny",))
    with pytest.raises(SetupError, match=r"`optimizer\.batch`: "):
        names(config, settings={"optimizer.batch": 0})
    with pytest.raises(ConfigError, match=r"`matrix\.splits` must name splits of"):
        config_in(published, {"splits": ["odd"]})
    with pytest.raises(ConfigError, match=r"must be among fd_own, kid_own, .*, got 'fd'"):
        config_in(published, {"metrics": ["fd"]})


# ---- Where it is trained. ------------------------------------------------------------------------


def slots(config: DatasetConfig, **options: Any) -> list[dict[str, str]]:
    return [dict(slot) for slot in plan_matrix(config, MatrixOptions(**options)).slots]


def test_on_the_cpu_it_is_one_at_a_time_or_they_share_the_processors(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    config = config_in(published)
    assert slots(config) == [{}]
    assert slots(config, at_once=4) == [{"OMP_NUM_THREADS": "2"}] * 4
    assert slots(config_in(published, gpus=2), at_once=2) == [{"OMP_NUM_THREADS": "2"}] * 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert slots(config, at_once=4) == [{}] * 4


@pytest.mark.parametrize(
    ("gpus", "at_once", "visible", "expected"),
    [
        (0, 0, "", ["0", "1", "2", "3"]),
        (2, 0, "", ["0,1", "2,3"]),
        (0, 2, "", ["0", "1"]),
        (1, 6, "", ["0", "1", "2", "3", "0", "1"]),
        (3, 0, "", ["0,1,2"]),
        (0, 0, "4,GPU-a, 6,7", ["4", "GPU-a", "6", "7"]),
    ],
)
def test_each_training_has_its_own_gpus(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: int,
    at_once: int,
    visible: str,
    expected: list[str],
) -> None:
    monkeypatch.setattr(matrix_module, "count_gpus", lambda: 4)
    monkeypatch.setattr("flows.trainings.launch.count_gpus", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run = {**TRAIN["run"], "device": "cuda"}
    batch = {"batch": 12}
    config = config_in(published, {"at_once": at_once}, gpus=gpus, run=run, optimizer=batch)
    assert slots(config) == [{"CUDA_VISIBLE_DEVICES": names} for names in expected]


def test_without_the_gpu_that_is_wanted_nothing_is_begun(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix_module, "count_gpus", lambda: 0)
    config = config_in(published, run={**TRAIN["run"], "device": "cuda"})
    with pytest.raises(SetupError, match=r"want a GPU.*say `--set run\.device=cpu`"):
        slots(config)
    assert slots(config_in(published, run={**TRAIN["run"], "device": "auto"})) == [{}]


def test_neither_torch_nor_prefect_is_loaded(published: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.flows.trainings.test_matrix import config_in, MatrixOptions, plan_matrix\n"
        "from flows.trainings.matrix import look\n"
        "from flows.trainings.comparison import compare\n"
        "import flows.cli.app, flows.cli.board, training.compare.page\n"
        "config = config_in(Path(sys.argv[1]))\n"
        "look(config, plan_matrix(config, MatrixOptions()))\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'prefect'}, loaded"
    )
    command = [sys.executable, "-c", code, str(published)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_last_error_of_a_log_is_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    old = "error: an old one\n"
    log.write_text(old + "tick 1\nerror: full\nsecond line\n")
    assert error_in(log, len(old)) == "full\nsecond line"
    log.write_text(old + "Traceback\n  line\nValueError: odd\n\n")
    assert error_in(log, len(old)) == "ValueError: odd"
    assert error_in(log, log.stat().st_size) == ""


# ---- A matrix under way. -------------------------------------------------------------------------


def world_of(folder: Path, published: Path, **matrix: Any) -> World:
    """A dataset with the versions of `published`, for a test alone."""
    shutil.copytree(published / "catalog", folder / "catalog")
    world = World(folder, raw={"rules": {}, "splits": SPLITS, "train": TRAIN, "matrix": matrix})
    world.write_config()
    return world


def record(world: World, run: str) -> dict[str, Any]:
    file = world.folder / "catalog" / "models" / run / "run.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def steps(world: World, run: str) -> list[int]:
    file = world.folder / "catalog" / "models" / run / "steps.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.slow
def test_one_that_fails_does_not_end_the_others_and_is_trained_once_it_can_be(
    tmp_path: Path, published: Path, in_this_process: Run
) -> None:
    world = world_of(tmp_path, published, splits=["pov", "rest"])
    file = str(tmp_path / "nonesuch.toml")
    models = tmp_path / "catalog" / "models"
    judge = Model("a@kimg-1", ("a",), (("kimg-1",),), 1, "h", RECIPE, 16, 12, 1.0)
    registry.register(world.catalog, judge)
    shard = tmp_path / "catalog" / "versions" / "4" / "shards" / "00000.tar"
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-512])

    outcome = in_this_process("matrix", "--json", "-c", file)
    assert outcome.code == 1
    assert "error: v4-tiny-s0: " in outcome.err
    assert "00000.tar" in outcome.err
    assert f"see {models / 'logs' / 'v4-tiny-s0.log'}" in outcome.err
    rows = {row["run"]: row for row in outcome.json["runs"]}
    assert list(rows) == ["v4-tiny-s0", "v3-tiny-s0"]
    assert (rows["v4-tiny-s0"]["split"], rows["v4-tiny-s0"]["status"]) == ("pov", "failed")
    assert "00000.tar" in rows["v4-tiny-s0"]["reason"]
    assert "v3-tiny-s0: measures, 0.032 of 0.032 kimg" in outcome.err
    done = rows["v3-tiny-s0"]
    assert (done["status"], done["kimg"], done["split"]) == ("finished", 0.032, "rest")
    assert done["metrics"]["fd_own"] > 0
    page = Path(outcome.json["page"])
    assert page == models / "compare.html"
    assert all(name in page.read_text() for name in rows)

    # Mended, the same command trains what is missing, and that alone.
    shard.write_bytes(sound)
    world.write_config(matrix={"splits": ["pov", "rest"], "metrics": []})
    before = record(world, "v3-tiny-s0")
    outcome = in_this_process("matrix", "-c", file)
    assert outcome.code == 0, outcome
    assert record(world, "v3-tiny-s0") == before
    assert record(world, "v4-tiny-s0")["status"] == "finished"
    assert "v4-tiny-s0: finished, 0.032 of 0.032 kimg" in outcome.err
    for words in ("v4-tiny-s0", "4 (pov)", "3 (rest)", "fd_own", f"page: {page.as_uri()}"):
        assert words in outcome.out
    # Who judges is left to people, also by a loop that finds the runs; all can be chosen.
    models = world.folder / world.root / "models"
    assert all(is_of_matrix(models / name) for name in ("v3-tiny-s0", "v4-tiny-s0"))
    assert not is_of_matrix(models / "a")
    known = registry.all_models(world.catalog)
    assert known[0] == judge
    assert {model.model for model in known[1:]} == {
        "v3-tiny-s0@kimg-000000.032",
        "v4-tiny-s0@kimg-000000.032",
    }

    # Any runs can be compared.
    outcome = in_this_process("matrix", "--compare", "v3-tiny-s0", "--json", "-c", file)
    assert outcome.code == 0
    assert [row["run"] for row in outcome.json["runs"]] == ["v3-tiny-s0"]
    assert "v4-tiny-s0" not in page.read_text()
    outcome = in_this_process("matrix", "--compare", "nowhere", "-c", file)
    assert (outcome.code, "holds no run.json" in outcome.err) == (2, True)


@pytest.mark.slow
def test_stopped_all_save_and_killed_what_goes_on_is_followed(
    tmp_path: Path, published: Path
) -> None:
    world = world_of(tmp_path, published, splits=["pov", "rest"], at_once=2, metrics=[])
    runs = ("v4-tiny-s0", "v3-tiny-s0")
    command = ("matrix", "--kimg", "100")
    process = world.start(*command, "--json")
    process.wait_for(lambda: all(len(steps(world, run)) > 0 for run in runs), 120)
    os.killpg(process.popen.pid, signal.SIGINT)  # as a terminal does
    outcome = process.outcome()
    assert outcome.code == 0, outcome
    assert [row["status"] for row in outcome.json["runs"]] == ["stopped", "stopped"]
    assert all(record(world, run)["newest_snapshot"] for run in runs)

    # They go on; and killed, without the command that began them.
    counts = {run: len(steps(world, run)) for run in runs}
    process = world.start(*command)
    process.wait_for(lambda: all(len(steps(world, run)) > counts[run] for run in runs), 120)
    trainers = [record(world, run)["pid"] for run in runs]
    process.kill()
    said = tmp_path / "said"
    with said.open("w") as stderr:
        again = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    wait_until(lambda: said.read_text().count(": follows") == 2)
    again.send_signal(signal.SIGTERM)
    assert again.wait(120) == 0, said.read_text()
    for run, trainer in zip(runs, trainers, strict=True):
        assert (record(world, run)["status"], record(world, run)["pid"]) == ("stopped", trainer)
        assert steps(world, run) == list(range(len(steps(world, run))))


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


# ---- The command line. ---------------------------------------------------------------------------


def test_a_dry_run_names_the_runs_and_writes_nothing(published: Path, in_this_process: Run) -> None:
    world = World(published, raw={"rules": {}, "splits": SPLITS, "train": TRAIN})
    file = str(world.write_config())
    options = ("--split", "pov", "--version", "1", "--seed", "3", "--seed", "4", "--at-once", "3")
    outcome = in_this_process("matrix", "--dry-run", *options, "--kimg", "2", "-c", file)
    assert outcome.code == 0, outcome
    for words in ("v4-tiny-s3", "v1-tiny-s4", "4 (pov)", "0 of 2", "waiting", "4 runs, 3 at once"):
        assert words in outcome.out
    outcome = in_this_process("matrix", "--dry-run", "--json", *options, "-c", file)
    assert outcome.json["at_once"] == 3
    assert [row["seed"] for row in outcome.json["runs"]] == [3, 4, 3, 4]
    assert not (published / "catalog" / "models").exists()


def test_wrong_usage_ends_with_2(published: Path, in_this_process: Run) -> None:
    outcome = in_this_process("matrix", "v1-tiny")
    assert outcome.code == 2
    assert "RUN goes with --compare" in outcome.err
    file = str(World(published, raw={"rules": {}, "train": TRAIN}).write_config())
    outcome = in_this_process("matrix", "--preset", "tinny", "-c", file)
    assert outcome.code == 2
    assert "did you mean 'tiny'?" in outcome.err
    outcome = in_this_process("matrix", "--split", "odd", "-c", file)
    assert outcome.code == 1
    assert "there are those of the whole set: 1; the split 'pov': 2, 4" in outcome.err
