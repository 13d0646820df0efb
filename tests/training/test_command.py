"""`python -m training`: what it takes, what it says, and the code that it ends with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.data.making import pixels_of
from tests.training.support import arguments, version_of, version_of_pictures
from training.command import main, nested, parse_setting
from training.errors import SetupError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return version_of(tmp_path_factory.mktemp("data") / "version")


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("loss.r1_gamma=2", "loss.r1_gamma", 2),
        ("augment.mode=off", "augment.mode", "off"),
        ("data.mirror=true", "data.mirror", True),
        ('data.tags=["pov", "on foot"]', "data.tags", ["pov", "on foot"]),
        ("data.fold=2/5", "data.fold", "2/5"),
        ("optimizer.ema_ramp=null", "optimizer.ema_ramp", None),
        ("data.fold=a=b", "data.fold", "a=b"),
    ],
)
def test_a_setting_is_json_or_a_word(text: str, key: str, value: object) -> None:
    assert parse_setting(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loss.r1_gamma", "must be KEY=VALUE, got 'loss.r1_gamma'"),
        ("loss.r1_gama=2", "`loss.r1_gama` is no setting; did you mean `loss.r1_gamma`"),
        ("r1_gamma=2", "`r1_gamma` is no setting; did you mean `loss.r1_gamma`"),
        ("preset=tiny", "`preset` is no setting"),
        ("=2", "`` is no setting"),
    ],
)
def test_a_wrong_setting_is_named(text: str, words: str) -> None:
    with pytest.raises(SetupError) as told:
        parse_setting(text)
    assert words in str(told.value)


def test_keys_become_tables() -> None:
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


# -- bad input ------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], line: list[str], code: int) -> str:
    assert main(line) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def damage(version: Path, what: str) -> None:
    shard = version / "shards" / "00001.tar"
    match what:
        case "no folder":
            shutil.rmtree(version)
        case "no manifest":
            (version / "manifest.json").unlink()
        case "no pictures":
            manifest = json.loads((version / "manifest.json").read_text())
            manifest |= {"items": 0, "shards": []}
            (version / "manifest.json").write_text(json.dumps(manifest))
        case "no shard":
            shard.unlink()
        case "cut":
            shard.write_bytes(shard.read_bytes()[:-512])
        case "changed":
            data = bytearray(shard.read_bytes())
            data[2000] ^= 1
            shard.write_bytes(data)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no folder", "version holds no manifest.json; give the folder of a published version"),
        ("no manifest", "version holds no manifest.json; give the folder of a published version"),
        ("no pictures", "names no pictures (`items` is 0): there is nothing to train on"),
        ("no shard", "00001.tar is missing; copy the whole folder of the version again"),
        ("cut", "00001.tar: has"),
        ("changed", "00001.tar: its SHA-256 is not the one in the manifest"),
    ],
)
def test_a_version_that_cannot_be_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, words: str
) -> None:
    version, run = version_of(tmp_path / "version"), tmp_path / "run"
    damage(version, what)
    assert words in said(capsys, arguments(version, run), 1)
    assert not (run / "config.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preset", "tyni"], "preset 'tyni' is unknown; did you mean 'tiny'?"),
        (["--set", "loss.gamma=1"], "`loss.gamma` is no setting; did you mean `loss.r2_gamma`?"),
        (["--set", "loss.r1_gamma=much"], "`loss.r1_gamma`: Input should be a valid number"),
        (["--batch", "0"], "`optimizer.batch`: Input should be greater than or equal to 1, got 0"),
        (
            ["--set", "network.mbstd_group=3"],
            "`network.mbstd_group` must divide the 8 images at once on a GPU, got 3; use 2",
        ),
        (
            ["--set", "optimizer.batch_gpu=3"],
            "multiple of 1 GPUs × 3 images at once, got 8; use one of 1, 2, 4, 8 for batch_gpu",
        ),
        (["--tag", "pov"], "`data.tags`: the version has no tag `pov`"),
        (["--label", "hat"], "`data.labels`: the version has no label `hat`"),
        (["--fold", "6/5"], "`data.fold` must be k/n with n >= 2 and k from 1 to n, got `6/5`"),
        (["--set", "data.conditional=true"], "`data.conditional` must be off where no picture has"),
        (["--freeze-d", "1"], "makes sense for a transfer only; give `--transfer`"),
    ],
)
def test_settings_that_cannot_be(
    tmp_path: Path,
    version: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    words: str,
) -> None:
    assert words in said(capsys, arguments(version, tmp_path / "run", *more), 2)


def test_a_size_that_cannot_be_doubled_up_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = version_of_pictures(tmp_path / "v", [pixels_of(0, (50, 37)), pixels_of(1, (50, 37))])
    told = said(capsys, arguments(version, tmp_path / "run"), 2)
    assert "50" in told
    assert "37" in told
    assert not (tmp_path / "run").exists()


def test_a_batch_that_cannot_be_divided_among_processes(
    tmp_path: Path,
    version: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    line = arguments(version, tmp_path / "run", "--dry-run")
    assert "must be a multiple of 3 GPUs × 2 images at once, got 8" in said(capsys, line, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("more", [["--device", "cuda"], ["--preset", "stylegan2-ada"], []])
def test_without_a_gpu_it_goes_on_only_when_told_to(
    tmp_path: Path, version: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    told = said(capsys, [str(version), "--run", str(tmp_path / "run"), *more], 2)
    assert "there is no GPU" in told
    assert "`--device cpu`" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["nothing", "empty", "text", "another run without snapshots"])
def test_a_checkpoint_that_is_none(
    tmp_path: Path, version: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    source = tmp_path / "source"
    if kind == "empty":
        source.mkdir()
    elif kind == "text":
        source.write_text("no snapshot")
    elif kind != "nothing":
        (source / "snapshots").mkdir(parents=True)
    run = tmp_path / "run"
    told = said(capsys, arguments(version, run, "--transfer", str(source)), 2)
    assert f"{source} must be a snapshot or a run with snapshots, has none; give another" in told


def test_a_run_folder_that_is_a_file(
    tmp_path: Path, version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.write_text("")
    assert f"run folder {run} cannot be made" in said(capsys, arguments(version, run), 2)


@pytest.mark.parametrize("line", [[], ["version"], ["version", "--run"], ["v", "--run", "r", "-x"]])
def test_wrong_usage(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2
    assert "usage: python -m training" in capsys.readouterr().err


# -- good input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--run", "--run-folder"])
def test_it_ends_with_one_line_of_json(
    tmp_path: Path, version: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    line = arguments(version, tmp_path / "run", "--json", total_kimg=0)
    line[line.index("--run")] = option
    assert main(line) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    record: dict[str, Any] = json.loads(out)
    assert (record["status"], record["snapshots"]) == ("finished", ["kimg-000000.000"])


def test_short_options_are_settings(
    tmp_path: Path, version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--kimg", "3", "--batch", "4", "--seed", "9", "--fold", "1/2", "--dry-run", "--json"]
    line = [str(version), "--run", str(tmp_path / "run"), "--preset", "tiny", "--device", "cpu"]
    assert main([*line, *short]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["run"]["total_kimg"] == 3
    assert config["optimizer"]["batch"] == 4
    assert config["run"]["seed"] == 9
    assert config["data"]["fold"] == "1/2"


# -- a bare machine -------------------------------------------------------------------------------

ALLOWED = ("torch", "numpy", "pillow", "webdataset", "tensorboard", "safetensors", "pydantic")
BARE = '''
"""Runs `python -m training` where nothing else can be imported, as if it were not installed."""
import importlib.machinery, importlib.metadata, re, runpy, sys

def needed(name, found):
    """Add a distribution and all that it needs, without extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return
    try:
        requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return  # for another platform
    found.add(key)
    for line in requires:
        if "extra ==" not in line:
            needed(re.match(r"[A-Za-z0-9_.-]+", line)[0], found)

found = set()
for name in {allowed!r}:
    needed(name, found)
there = {{"training"}} | set(sys.stdlib_module_names)
for module, names in importlib.metadata.packages_distributions().items():
    if any(re.sub(r"[-_.]+", "-", name).lower() in found for name in names):
        there.add(module)
there.discard("fsspec")  # for object storage alone; torch and TensorBoard do without

class Bare(importlib.machinery.PathFinder):
    """Finds what is allowed, and says of all else that there is none."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in there or top.startswith("_sysconfigdata"):
            return super().find_spec(name, path, target)

sys.meta_path[:] = [
    importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter, Bare
]
try:
    runpy.run_module("training", run_name="__main__", alter_sys=True)
except SystemExit as end:
    now = {{name.partition(".")[0] for name in sys.modules}}
    foreign = {{"prefect", "deltalake", "pyarrow", "pandas", "cv2", "rich", "typer", "fsspec"}}
    foreign |= {{"data_catalog", "curation", "flows", "review_ui"}}
    print(sorted((now | there) & foreign))
    sys.exit(end.code)
'''


def test_a_copied_version_is_trained_on_with_few_packages(tmp_path: Path) -> None:
    """All of the program but `training`, and all that it needs besides, is out of reach."""
    bare = tmp_path / "bare"
    shutil.copytree(version_of(tmp_path / "published"), bare / "version")
    shutil.copytree(
        REPOSITORY / "training", bare / "training", ignore=shutil.ignore_patterns("__pycache__")
    )
    (bare / "bare.py").write_text(BARE.format(allowed=ALLOWED))
    run = bare / "run"
    line = arguments(bare / "version", run, total_kimg=0.032, workers=1)
    ended = subprocess.run(
        [sys.executable, str(bare / "bare.py"), *line],
        cwd=bare,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[]\n"
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
