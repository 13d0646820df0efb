"""How a training is started: version, run, settings, processes, secrets. None is trained here."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import VersionNotFoundError
from flows.settings import ConfigError, DatasetConfig, parse
from flows.trainings import launch
from flows.trainings.launch import TrainOptions, fold_options, plan
from flows.trainings.runs import models_folder, run_folder, summaries
from tests.flows.trainable import TRAIN, publish_pictures
from tests.flows.world import REPOSITORY
from training.config import RunConfig
from training.errors import SetupError
from training.presets import resolve
from training.runs.folder import RunFolder, VersionFacts


def config_in(folder: Path, train: dict[str, Any] | None = None, **dataset: Any) -> DatasetConfig:
    raw = {
        "dataset": {"name": "shoes", "root": "catalog", **dataset},
        "train": TRAIN if train is None else train,
    }
    return parse(raw, name="nonesuch.toml", folder=folder)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with two versions."""
    folder = tmp_path_factory.mktemp("published")
    publish_pictures(folder / "catalog")
    publish_pictures(folder / "catalog", first=100)
    return folder


def settings_of(arguments: tuple[str, ...]) -> dict[str, Any]:
    pairs = itertools.pairwise(arguments)
    found = dict(value.split("=", 1) for option, value in pairs if option == "--set")
    return {key: json.loads(value) for key, value in found.items()}


def begin(run: Path, version: int, preset: str = "tiny") -> None:
    """Leave what a run that was begun leaves."""
    config = resolve(preset, {"run": {"device": "cpu"}}, size=(16, 12), gpus=1)
    facts = VersionFacts(
        dataset="x", version=version, version_hash="h", inverted=False, size=(16, 12)
    )
    RunFolder(run).write_config(config, facts)


# ---- [train]. ------------------------------------------------------------------------------------


def test_only_what_is_set_counts(tmp_path: Path) -> None:
    assert config_in(tmp_path, {}).train.settings() == {}
    train = config_in(tmp_path, {"network": {"channel_max": 512}, "data": {"tags": ["pov"]}}).train
    assert train.settings() == {"network.channel_max": 512, "data.tags": ["pov"]}
    assert train.run == RunConfig()


def test_what_is_stored_and_read_again_says_no_more(tmp_path: Path) -> None:
    config = config_in(tmp_path, {"preset": "tiny", "loss": {"r1_gamma": 2}, "folder": "runs"})
    again = DatasetConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.train.settings() == {"loss.r1_gamma": 2.0}
    assert json.loads(config.train.model_dump_json()) == {
        "preset": "tiny",
        "folder": str(tmp_path / "runs"),
        "loss": {"r1_gamma": 2.0},
    }


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"preset": "tinny"}, "`train.preset`: must be one of stylegan2-ada, sneaker, "),
        ({"netwrk": {}}, "`train.netwrk` is not a key; did you mean `network`?"),
        ({"network": {"zdim": 3}}, "`train.network.zdim` is not a key; did you mean `z_dim`?"),
        ({"optimizer": {"batch": 0}}, "`train.optimizer.batch`: must be greater than or equal to"),
        ({"version": 0}, "`train.version`: must be greater than or equal to 1, got 0"),
        ({"name": "a/b"}, "`train.name`: must match pattern "),
        ({"gpus": -1}, "`train.gpus`: must be greater than or equal to 0, got -1"),
        ({"folder": "s3://bucket/x"}, "`train.folder`: must be a path on a local disk, got 's3:/"),
        ({"cache": ""}, "`train.cache`: must be a path on a local disk, got ''"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, train: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_in(tmp_path, train)
    assert str(caught.value).startswith(f"nonesuch.toml: {said}")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    names = {"folder": "runs", "cache": "/c", "transfer": "../old/models/first"}
    train = config_in(tmp_path, names).train
    assert train.folder == tmp_path / "runs"
    assert train.cache == Path("/c")
    assert train.transfer == tmp_path.parent / "old/models/first"


# ---- Where runs are. -----------------------------------------------------------------------------


def test_runs_are_in_the_root_unless_told_otherwise(tmp_path: Path) -> None:
    assert models_folder(config_in(tmp_path)) == tmp_path / "catalog" / "models"
    assert models_folder(config_in(tmp_path, {"folder": "big"})) == tmp_path / "big"
    assert summaries(config_in(tmp_path)) == []


def test_a_remote_root_needs_a_folder_for_runs(tmp_path: Path) -> None:
    config = config_in(tmp_path, root="memory://bucket/shoes")
    with pytest.raises(ConfigError, match=r"`train\.folder` must be set .*memory://"):
        models_folder(config)
    there = config_in(tmp_path, {"folder": "runs"}, root="memory://bucket/shoes")
    assert models_folder(there) == tmp_path / "runs"


def test_a_run_is_named_or_pointed_at(tmp_path: Path) -> None:
    assert run_folder(tmp_path, "v1-tiny") == tmp_path / "v1-tiny"
    assert run_folder(tmp_path, "/else/where") == Path("/else/where")
    for name in ("", "..", ".hidden", "a b"):
        with pytest.raises(SetupError, match="the name of a run must be letters"):
            run_folder(tmp_path, name)


# ---- What is started. ----------------------------------------------------------------------------


def test_the_newest_version_is_trained_on_in_a_run_called_after_it(published: Path) -> None:
    start = plan(config_in(published), TrainOptions())
    assert start.run == published / "catalog/models/v2-tiny"
    assert start.arguments[:5] == (
        str(published / "catalog/versions/2"),
        *("--run", str(start.run), "--preset", "tiny"),
    )
    assert settings_of(start.arguments) == {
        f"{section}.{key}": value
        for section in ("network", "run")
        for key, value in TRAIN[section].items()
    }
    assert (start.processes, start.environment) == (1, {})
    assert not start.run.exists()


def test_options_win_over_the_configuration(published: Path) -> None:
    train = {**TRAIN, "version": 2, "name": "mine", "transfer": "old", "cache": "cache"}
    options = TrainOptions(
        version=1,
        preset="sneaker",
        run="other",
        gpus=2,
        transfer=Path("/new"),
        settings={"network.z_dim": 32, "data.labels": ["dress"]},
    )
    start = plan(config_in(published, train), options)
    arguments = " ".join(start.arguments)
    assert arguments.startswith(f"{published}/catalog/versions/1 --run {published}/catalog/models/")
    assert "/other --preset sneaker " in arguments
    assert arguments.endswith(f" --transfer /new --cache {published}/cache")
    settings = settings_of(start.arguments)
    assert settings["network.z_dim"] == 32
    assert settings["network.w_dim"] == TRAIN["network"]["w_dim"]
    assert settings["data.labels"] == ["dress"]
    assert start.processes == 2


def test_a_run_of_one_fold_is_called_as_in_a_plan_of_folds(published: Path) -> None:
    config = config_in(published)
    start = plan(config, TrainOptions(settings={"data.fold": "2/3"}))
    assert start.run.name == "v2-tiny-fold2of3"
    each = [plan(config, options) for options in fold_options(config, TrainOptions(), 3)]
    assert [start.run.name for start in each] == [f"v2-tiny-fold{i}of3" for i in (1, 2, 3)]
    assert [settings_of(s.arguments)["data.fold"] for s in each] == ["1/3", "2/3", "3/3"]
    assert each[1] == start
    with pytest.raises(SetupError, match="folds must be at least 2, got 1"):
        fold_options(config, TrainOptions(), 1)


def test_a_run_goes_on_with_its_version_and_preset(published: Path, tmp_path: Path) -> None:
    train = {"folder": str(tmp_path)}
    begin(tmp_path / "mine", 1)
    start = plan(config_in(published, train), TrainOptions(run="mine"))
    assert start.arguments == (*(f"{published}/catalog/versions/1", "--run", f"{tmp_path}/mine"),)
    assert start.processes == 1  # on the CPU, as it was begun
    # What is asked for by name is asked for; whether it fits, training says.
    start = plan(config_in(published, train), TrainOptions(run="mine", version=0, preset="sneaker"))
    assert start.arguments[0] == f"{published}/catalog/versions/2"
    assert start.arguments[-2:] == ("--preset", "sneaker")


def test_folds_go_on_with_one_version(published: Path, tmp_path: Path) -> None:
    begin(tmp_path / "mine-fold1of2", 1)
    config = config_in(published, {**TRAIN, "folder": str(tmp_path), "name": "mine"})
    assert [options.version for options in fold_options(config, TrainOptions(), 2)] == [1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TrainOptions(preset="tinny"), "preset 'tinny' is unknown; did you mean 'tiny'?"),
        (TrainOptions(settings={"optimizer.batch": 0}), "`optimizer.batch`: "),
        (TrainOptions(gpus=1, settings={"run.device": "tpu"}), "`run.device`: "),
        (TrainOptions(gpus=3, settings={"optimizer.batch": 8}), "multiple of 3 GPUs"),
        (TrainOptions(run="a b"), "the name of a run"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_started(
    published: Path, options: TrainOptions, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        plan(config_in(published), options)
    assert not (published / "catalog/models").exists()


def test_versions_that_are_not_there_are_named(published: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionNotFoundError, match=r"has no version 7; there are 1, 2"):
        plan(config_in(published), TrainOptions(version=7))
    with pytest.raises(VersionNotFoundError, match="no published version; run `nonesuch publish`"):
        plan(config_in(tmp_path), TrainOptions())


def test_the_newest_version_of_a_split_is_trained_on(tmp_path: Path) -> None:
    for number, split in enumerate(("pov", "rest", "pov")):
        publish_pictures(tmp_path / "catalog", first=20 * number, split=split)
    config = config_in(tmp_path, {**TRAIN, "version": 2})
    assert plan(config, TrainOptions(split="pov")).run.name == "v3-tiny"
    assert plan(config, TrainOptions(split="pov", version=1)).run.name == "v1-tiny"
    assert plan(config, TrainOptions()).run.name == "v2-tiny"  # as the configuration says
    folds = fold_options(config, TrainOptions(split="rest"), 2)
    assert [options.version for options in folds] == [2, 2]
    with pytest.raises(VersionNotFoundError, match=r"version 2 of .* is of the split 'rest'"):
        plan(config, TrainOptions(split="pov", version=2))
    with pytest.raises(VersionNotFoundError, match=r"only of splits \(the split 'pov': 1, 3; the "):
        plan(config_in(tmp_path), TrainOptions())
    # A run goes on with its version; asked for another split, it is refused.
    begin(tmp_path / "catalog/models/mine", 1)
    start = plan(config_in(tmp_path), TrainOptions(run="mine", split="pov"))
    assert start.arguments[0] == str(tmp_path / "catalog/versions/1")
    with pytest.raises(VersionNotFoundError, match="is of the split 'pov', not of the split 're"):
        plan(config_in(tmp_path), TrainOptions(run="mine", split="rest"))


def test_more_gpus_than_there_are_are_refused() -> None:
    with pytest.raises(SetupError, match=r"99 GPUs are asked for, PyTorch finds \d+ here; use `--"):
        launch.count_processes(99, "auto")


def test_on_the_cpu_it_is_one_process_unless_more_are_asked_for() -> None:
    assert [launch.count_processes(gpus, "cpu") for gpus in (0, 1, 2)] == [1, 1, 2]


def test_missing_packages_are_named_with_the_remedy(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_PACKAGES", ("json", "no_such_package"))
    with pytest.raises(
        SetupError, match=r'needs no_such_package, .* pip install "nonesuch\[train\]'
    ):
        plan(config_in(published), TrainOptions())


def test_storage_options_are_handed_over_where_nobody_looks(published: Path) -> None:
    options = {"key": "KEY-1", "secret": "SECRET-2", "AWS_REGION": "eu-1"}
    start = plan(config_in(published, storage_options=options), TrainOptions())
    (text,) = start.environment.values()
    assert json.loads(text) == {"key": "KEY-1", "secret": "SECRET-2"}  # the rest is for tables
    assert "SECRET-2" not in " ".join(start.arguments) + repr(start)
    assert launch.secrets_of(Catalog(published / "catalog")) == {}


def test_neither_torch_nor_prefect_is_loaded_where_nothing_is_trained(published: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.flows.trainings.test_launch import config_in\n"
        "from flows.trainings.launch import TrainOptions, plan\n"
        "from flows.trainings.runs import summaries\n"
        "import flows.cli.app\n"
        "config = config_in(Path(sys.argv[1]))\n"
        "plan(config, TrainOptions()); summaries(config)\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'prefect'}, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(published)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
