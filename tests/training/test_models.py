from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SnapshotError
from training.models import compared, full_precision, load_model
from training.presets import resolve
from training.runs import snapshots
from training.runs.folder import RunFolder
from training.runs.snapshots import load, load_weights, names, save


def newest(run: Path) -> Path:
    return run / "snapshots" / names(run / "snapshots")[-1]


def test_is_the_averaged_generator_of_the_newest_snapshot(trained: Trained) -> None:
    model = load_model(trained.plain)
    assert model.path == newest(trained.plain)
    saved = load_weights(model.path).tensors
    for prefix, network in (("G_ema", model.G), ("D", model.D)):
        for name, value in network.state_dict().items():
            assert torch.equal(value, saved[f"{prefix}.{name}"]), name
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
    assert any(not torch.equal(saved[n], saved["G" + n[5:]]) for n in saved if n[:6] == "G_ema.")


def test_tells_what_it_was_trained_on(trained: Trained) -> None:
    model = load_model(trained.conditional)
    record = RunFolder(trained.conditional)
    assert model.config == record.read_config()
    facts = record.read_version()
    assert facts is not None
    assert (model.version_hash, model.version) == (facts.version_hash, facts.version)
    assert (model.inverted, model.size) == (True, (16, 12))
    assert model.labels == ("boot", "shoe", "unlabelled")
    assert model.cur_nimg == 32
    assert model.name == model.path.name


def test_takes_an_older_snapshot_by_its_path(trained: Trained, tmp_path: Path) -> None:
    oldest = trained.plain / "snapshots" / names(trained.plain / "snapshots")[0]
    assert load_model(oldest).cur_nimg == 16
    moved = shutil.copytree(oldest, tmp_path / "best")
    assert load_model(moved).name == oldest.name


def test_half_precision_is_asked_for(trained: Trained, tmp_path: Path) -> None:
    snapshot = load(newest(trained.plain))
    config = dict(snapshot.values["config"])
    config["network"] = {**config["network"], "half": "bfloat16"}
    path = save(tmp_path, newest(trained.plain).name, changed(snapshot, config=config))
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    exact, rounded = load_model(path).G, load_model(path, half=True).G
    assert not torch.equal(exact(z), rounded(z))
    assert torch.equal(full_precision(rounded, load_model(path).config.network)(z), exact(z))


def test_loading_leaves_shared_randomness_alone(trained: Trained) -> None:
    before = torch.get_rng_state()
    load_model(trained.plain)
    assert torch.equal(torch.get_rng_state(), before)


def test_compares_as_many_as_training_had_at_once() -> None:
    for group, at_once, expected in ((4, 4, 4), (32, 2, 2), (2, 8, 2)):
        asked = {
            "network": {"mbstd_group": group},
            "optimizer": {"batch": 8, "batch_gpu": at_once},
        }
        assert compared(resolve("tiny", asked, size=(16, 12), gpus=1)) == expected


def changed(snapshot: snapshots.Snapshot, **values: object) -> snapshots.Snapshot:
    return replace(snapshot, values={**snapshot.values, **values})


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_damage_is_named(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    path = newest(run)
    spoil(path / "weights.safetensors")
    with pytest.raises(SnapshotError, match=r"weights\.safetensors"):
        load_model(path)
    older = load_model(run)
    assert older.cur_nimg == 16
    assert len(older.passed_over) == 1
    assert path.name in older.passed_over[0]


def test_damaged_optimizers_do_not_matter(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    spoil(newest(run) / "optimizers.safetensors")
    assert load_model(run).cur_nimg == 32


def test_wrong_snapshots_are_refused(trained: Trained, tmp_path: Path) -> None:
    snapshot = load(newest(trained.plain))
    name = newest(trained.plain).name
    wider = dict(snapshot.values["config"])
    wider["network"] = {**wider["network"], "channel_max": 16, "channel_base": 512}
    unknown = {**snapshot.values["config"], "magic": 1}
    weight = "G_ema.synthesis.levels.4x3.conv1.weight"
    broken = {**snapshot.tensors, weight: snapshot.tensors[weight] * torch.nan}
    without = {k: v for k, v in snapshot.tensors.items() if not k.startswith("D.")}
    wrong = {
        "another G_ema than its configuration": changed(snapshot, config=wider),
        "magic": changed(snapshot, config=unknown),
        "not finite, in G_ema.synthesis": replace(snapshot, tensors=broken),
        "another D than": replace(snapshot, tensors=without),
        "labels": changed(snapshot, labels=None),
        "cannot be built: the size of a picture": changed(snapshot, size=[17, 13]),
    }
    for told, given in wrong.items():
        with pytest.raises(SnapshotError, match=told):
            load_model(save(tmp_path, name, given))


@pytest.mark.parametrize("made", [True, False])
def test_no_snapshot(tmp_path: Path, made: bool) -> None:
    run = tmp_path / "run"
    if made:
        (run / "snapshots").mkdir(parents=True)
    with pytest.raises(SnapshotError, match="must be a snapshot or a run with snapshots"):
        load_model(run)
