"""`nonesuch train`, `runs` and `metrics`, as people call them, on a version of a few pictures."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.trainable import OPTIONS, world_in
from tests.flows.world import Outcome, Process, World
from training.command import STORAGE_OPTIONS

pytestmark = pytest.mark.xdist_group("train")

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """For tests that leave it as it is, but for runs of their own."""
    return world_in(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def trained(shared: World) -> Outcome:
    """The outcome of a run to the end, `v1-tiny`."""
    return shared.run("train", "--json")


@pytest.fixture
def own(shared: World, tmp_path: Path) -> World:
    """A dataset that a test may damage."""
    shutil.copytree(shared.folder / "catalog" / "versions", tmp_path / "catalog" / "versions")
    shutil.copytree(shared.folder / "catalog" / "catalog", tmp_path / "catalog" / "catalog")
    shutil.copy(shared.folder / "nonesuch.toml", tmp_path)
    return World(tmp_path, raw=shared.raw)


def models(world: World) -> Path:
    return world.folder / "catalog" / "models"


def record(world: World, run: str) -> dict[str, Any]:
    file = models(world) / run / "run.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def ticks(world: World, run: str) -> list[dict[str, Any]]:
    file = models(world) / run / "ticks.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def listed(world: World, run: Run) -> dict[str, dict[str, Any]]:
    found = run("runs", "--json", "-c", str(world.folder / "nonesuch.toml")).json
    assert found["folder"] == str(models(world))
    return {entry["name"]: entry for entry in found["runs"]}


def shows_no_secrets(process: Process) -> None:
    """Whoever lists processes sees none; training has them all the same."""
    (child,) = psutil.Process(process.popen.pid).children()
    assert child.cmdline()[1:3] == ["-m", "training"]
    assert OPTIONS["secret"] not in " ".join(child.cmdline())
    assert json.loads(child.environ()[STORAGE_OPTIONS]) == OPTIONS


def refused(outcome: Outcome, code: int) -> str:
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    return outcome.err


# ---- A run, from its start to its end. -----------------------------------------------------------


def test_it_trains_on_the_newest_version_and_says_where(shared: World, trained: Outcome) -> None:
    assert trained.code == 0, trained
    (line,) = trained.out.splitlines()
    summary = json.loads(line)
    assert (summary["name"], summary["status"], summary["version"]) == ("v1-tiny", "finished", 1)
    assert (summary["kimg"], summary["total_kimg"]) == (0.032, 0.032)
    run = models(shared) / "v1-tiny"
    assert summary["path"] == str(run)
    assert (run / "snapshots" / summary["newest_snapshot"]).is_dir()
    assert (run / summary["newest_grid"]).is_file()
    # What the file sets, over what the preset says.
    network = json.loads((run / "config.json").read_text())["config"]["network"]
    assert (network["z_dim"], network["mapping_layers"]) == (8, 2)
    assert "tick 2" in trained.err


@pytest.mark.slow
def test_stopped_it_saves_and_the_same_command_goes_on(shared: World, in_this_process: Run) -> None:
    command = ("train", "--run", "long", "--kimg")
    process = shared.start(*command, "100", "--json")
    process.wait_for(lambda: len(ticks(shared, "long")) > 0)
    assert listed(shared, in_this_process)["long"]["alive"] is True
    shows_no_secrets(process)
    process.popen.send_signal(signal.SIGTERM)
    outcome = process.outcome()
    assert outcome.code == 0, outcome
    assert outcome.json["status"] == "stopped"
    assert "the same command goes on" in outcome.err
    found = listed(shared, in_this_process)["long"]
    assert (found["status"], found["alive"]) == ("stopped", False)
    assert (models(shared) / "long" / "snapshots" / found["newest_snapshot"]).is_dir()

    images = record(shared, "long")["cur_nimg"]
    outcome = shared.run(*command, str((images + 16) / 1000))
    assert outcome.code == 0, outcome
    assert "going on from " in outcome.err
    assert f"long: finished at {(images + 16) / 1000:g} of " in outcome.out
    for file in (models(shared) / "long").rglob("*"):
        assert not file.is_file() or OPTIONS["secret"].encode() not in file.read_bytes(), file
    steps = (models(shared) / "long" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in steps] == list(range((images + 16) // 8))


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_comes_once_to_all_of_two_processes(shared: World) -> None:
    process = shared.start("train", "--run", "pair", "--gpus", "2", "--kimg", "100")
    process.wait_for(lambda: len(ticks(shared, "pair")) > 0)
    os.killpg(process.popen.pid, signal.SIGINT)  # as a terminal does
    outcome = process.outcome()
    assert outcome.code == 0, outcome
    assert "batch 8 on 2 × cpu" in outcome.err
    assert record(shared, "pair")["status"] == "stopped"


# ---- Folds, dry runs. ----------------------------------------------------------------------------


@pytest.mark.slow
def test_k_folds_are_k_runs_one_after_the_other(shared: World, in_this_process: Run) -> None:
    outcome = shared.run("train", "--folds", "2", "--kimg", "0.016", "--json")
    assert outcome.code == 0, outcome
    names = [f"v1-tiny-fold{i}of2" for i in (1, 2)]
    assert [json.loads(line)["name"] for line in outcome.out.splitlines()] == names
    found = listed(shared, in_this_process)
    assert all(found[name]["status"] == "finished" for name in names)
    folds = [
        json.loads((models(shared) / name / "config.json").read_text())["config"]["data"]["fold"]
        for name in names
    ]
    assert folds == ["1/2", "2/2"]


def test_a_dry_run_shows_settings_and_cost_and_writes_nothing(own: World) -> None:
    options = ("--gpus", "4", "--batch", "16", "--tag", "pov", "--set", "loss.r1_gamma=3")
    outcome = own.run("train", "--dry-run", "--json", *options)
    assert outcome.code == 0, outcome
    config = outcome.json["config"]
    assert config["preset"] == "tiny"
    assert config["loss"]["r1_gamma"] == 3.0
    assert config["data"]["tags"] == ["pov"]
    assert (config["optimizer"]["batch"], config["optimizer"]["batch_gpu"]) == (16, 4)
    assert outcome.json["cost"]["pictures"] == 4
    assert not models(own).exists()


# ---- What goes wrong. ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--preset", "tinny"), 2, "preset 'tinny' is unknown; did you mean 'tiny'?"),
        (("--set", "los.r1_gamma=2"), 2, "`los.r1_gamma` is no setting; did you mean `loss."),
        (("--set", "x"), 2, "`--set` must be KEY=VALUE, got 'x'"),
        (("--batch", "7", "--set", "optimizer.batch_gpu=2"), 2, "`optimizer.batch` must be a mul"),
        (("--fold", "2/5", "--folds", "5"), 2, "--fold and --folds do not go together"),
        (("--version", "7"), 1, "has no version 7; there are 1"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    shared: World, in_this_process: Run, options: tuple[str, ...], code: int, said: str
) -> None:
    file = str(shared.folder / "nonesuch.toml")
    assert said in refused(in_this_process("train", "--run", "x", *options, "-c", file), code)


@pytest.mark.parametrize("options", [("--gpus", "-1"), ("--device", "tpu"), ("--kimg", "many")])
def test_wrong_usage_ends_with_2(in_this_process: Run, options: tuple[str, ...]) -> None:
    outcome = in_this_process("train", *options)
    assert outcome.code == 2
    assert f"Invalid value for '{options[0]}'" in outcome.err


def test_without_a_version_it_says_how_to_make_one(tmp_path: Path, in_this_process: Run) -> None:
    file = World(tmp_path, raw={"rules": {}}).write_config()
    said = refused(in_this_process("train", "-c", str(file)), 1)
    assert "has no published version; run `nonesuch publish`" in said


@pytest.mark.slow
def test_a_damaged_version_ends_two_processes_with_1_and_one_message(own: World) -> None:
    shard = own.folder / "catalog" / "versions" / "1" / "shards" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    said = refused(own.run("train", "--gpus", "2"), 1)
    assert "00000.tar" in said
    assert said.count("error:") == 1


# ---- runs, status, metrics. ----------------------------------------------------------------------


def test_runs_are_listed_for_people_too(
    shared: World, trained: Outcome, in_this_process: Run
) -> None:
    assert trained.code == 0
    file = str(shared.folder / "nonesuch.toml")
    lost = models(shared) / "lost"
    shutil.copytree(models(shared) / "v1-tiny", lost)
    told = json.loads((lost / "run.json").read_text()) | {"status": "running"}
    (lost / "run.json").write_text(json.dumps(told))
    outcome = in_this_process("runs", "-c", file)
    assert outcome.code == 0
    for words in ("v1-tiny", "finished", "0.032 of 0.032", "kimg-000000.032"):
        assert words in outcome.out
    assert "lost: ended without a word; the same command goes on" in outcome.out
    assert listed(shared, in_this_process)["lost"]["status"] == "lost"
    shutil.rmtree(lost)
    outcome = in_this_process("status", "-c", file)
    assert "kimg, on version 1" in outcome.out


def test_no_runs_are_no_error(own: World, in_this_process: Run) -> None:
    outcome = in_this_process("runs", "-c", str(own.folder / "nonesuch.toml"))
    assert outcome.code == 0
    assert "start one with `nonesuch train`" in outcome.out


@pytest.mark.slow
def test_metrics_of_a_run_are_taken_and_kept(
    shared: World, trained: Outcome, in_this_process: Run
) -> None:
    assert trained.code == 0
    options = ("--metric", "fd_own", "--count", "8", "--device", "cpu", "--json")
    outcome = shared.run("metrics", "v1-tiny", *options)
    assert outcome.code == 0, outcome
    assert "fd_own" in outcome.out
    kept = listed(shared, in_this_process)["v1-tiny"]["metrics"]
    assert [(m["snapshot"], m["name"]) for m in kept] == [("kimg-000000.032", "fd_own")]
    assert kept[0]["value"] > 0


def test_metrics_of_no_run_end_with_2(shared: World, in_this_process: Run) -> None:
    file = str(shared.folder / "nonesuch.toml")
    said = refused(in_this_process("metrics", "nowhere", "-c", file), 2)
    assert f"{models(shared) / 'nowhere'} holds no run.json; give the folder of a run" in said
