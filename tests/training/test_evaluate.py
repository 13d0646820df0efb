from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.conftest import ITEMS, Trained
from tests.training.data.making import key_of, make_version, pixels_of
from training.data.check import check
from training.data.select import fold_of, select
from training.encoder import OwnEncoder
from training.errors import SetupError, ShardError
from training.evaluate import (
    Evaluation,
    evaluate,
    generated,
    measure_generator,
    record,
    usual_count,
)
from training.memorized import neighbours
from training.metric_encoders import load_encoders
from training.metrics import Figures, measure
from training.models import full_precision, load_model
from training.runs.folder import RunFolder, read_run
from training.runs.snapshots import names
from training.shards import PublishedVersion
from training.trained_on import Source, real_pictures
from training.watch.grids import to_pixels
from training.watch.journal import read_rows

OWN = ("fd_own", "kid_own", "pr_own")
VALUES = {"fd_own", "kid_own", "kid_std_own", "precision_own", "recall_own"}


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return trained.copy_of(trained.plain, tmp_path)


def pointed_at(run: Path, version: Path) -> Path:
    """As if another version was now where the run's was."""
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": str(version)}))
    return run


def test_figures_are_recorded(run: Path) -> None:
    taken = evaluate(run, load_encoders(OWN), seed=3)
    newest = names(run / "snapshots")[-1]
    assert (taken.snapshot, taken.cur_nimg, taken.count) == (newest, 32, ITEMS)
    assert set(taken.values) == VALUES
    in_run = {m.name: m.value for m in read_run(run).metrics if m.snapshot == newest}
    assert in_run == taken.values
    (row,) = read_rows(run / "metrics.jsonl")
    assert (
        row.items()
        >= {
            "snapshot": newest,
            "cur_nimg": 32,
            "version_hash": read_run(run).version_hash,
            "count": ITEMS,
            "psi": 1.0,
            "seed": 3,
            "encoder": OwnEncoder.name,
            "values": {**taken.values, "n_real": ITEMS, "n_fake": ITEMS},
        }.items()
    )


def test_real_pictures_are_encoded_once(run: Path) -> None:
    told: list[str] = []
    first, second = (
        evaluate(run, load_encoders(OWN), progress=lambda what, done, total: told.append(what))
        for _ in range(2)
    )
    assert first.values == second.values
    assert told.index("generated") == told.count("real")  # all before the first evaluation's
    assert len(list(read_rows(run / "metrics.jsonl"))) == 2
    assert len(read_run(run).metrics) == len(VALUES)
    other = evaluate(run, load_encoders(OWN), seed=1)
    assert other.values["fd_own"] != first.values["fd_own"]


def test_figures_are_of_pictures_as_people_see_them(trained: Trained) -> None:
    """Against the pictures that were published and the generator's negative, both by hand."""
    model = load_model(trained.plain)
    version = PublishedVersion(trained.version)
    selection = select(check(version), model.config.data)
    (figures,) = measure_generator(
        model.G, version, selection, load_encoders(OWN), inverted=True, count=20, seed=5, batch=7
    )
    z = torch.randn(20, model.G.z_dim, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        fake = 255 - to_pixels(model.G(z), inverted=False)
    real = np.stack([pixels_of(number) for number in range(ITEMS)])
    by_hand = measure(
        OWN,
        real=[torch.from_numpy(real).permute(0, 3, 1, 2)],
        fake=lambda count: [torch.from_numpy(fake).permute(0, 3, 1, 2)],
        count=20,
        encoder=OwnEncoder(),
    )
    assert figures == pytest.approx(by_hand, rel=1e-6)
    (negative,) = measure_generator(
        model.G, version, selection, load_encoders(OWN), inverted=False, count=20, seed=5
    )
    assert negative["fd_own"] != pytest.approx(figures["fd_own"], rel=1e-3)


def test_real_pictures_are_those_that_were_published(trained: Trained) -> None:
    version = PublishedVersion(trained.version)
    selection = select(check(version), load_model(trained.plain).config.data)
    found = torch.cat(list(real_pictures(version, selection, batch=8))).permute(0, 2, 3, 1)
    assert np.array_equal(found.numpy(), np.stack([pixels_of(n) for n in range(ITEMS)]))


def test_a_fold_is_measured_on_what_it_was_trained_on(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.folds[0], tmp_path)
    taken = evaluate(run, load_encoders(["fd_own"]))
    kept = sum(fold_of(key_of(number), 2) != 0 for number in range(ITEMS))
    assert 0 < kept < ITEMS
    assert taken.figures[0]["n_real"] == kept
    assert taken.count == kept


def test_classes_are_as_frequent_as_among_real_pictures(trained: Trained) -> None:
    model = load_model(trained.conditional)
    version = PublishedVersion(trained.version)
    selection = select(check(version), model.config.data)
    assert generated(model.G, selection, inverted=True).classes == [7.0, 7.0, 7.0]
    only = select(
        selection.index, model.config.data.model_copy(update={"tags": ("pov",), "fold": "1/3"})
    )
    assert only.labels is not None
    counts = [float(np.count_nonzero(only.labels == number)) for number in range(3)]
    assert generated(model.G, only, inverted=True).classes == counts


def test_path_lengths(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.conditional, tmp_path)
    taken = evaluate(run, load_encoders(["ppl_own"]), count=8)
    assert set(taken.values) == {"ppl_own"}
    assert 0 < taken.values["ppl_own"] < float("inf")


def test_measuring_leaves_shared_randomness_alone(trained: Trained) -> None:
    model = load_model(trained.plain)
    version = PublishedVersion(trained.version)
    selection = select(check(version), model.config.data)
    before = torch.get_rng_state()
    G = full_precision(model.G, model.config.network)
    measure_generator(
        G, version, selection, load_encoders((*OWN, "ppl_own")), inverted=True, count=8
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_a_snapshot_by_its_name(run: Path) -> None:
    oldest = names(run / "snapshots")[0]
    taken = evaluate(run, load_encoders(["pr_own"]), snapshot=oldest)
    assert taken.snapshot == oldest
    assert {m.snapshot for m in read_run(run).metrics} == {oldest}
    with pytest.raises(SetupError, match=f"no snapshot 'best'; it has {oldest}"):
        evaluate(run, load_encoders(["pr_own"]), snapshot="best")


def test_a_damaged_snapshot_is_passed_over_by_name(run: Path) -> None:
    oldest, newest = names(run / "snapshots")
    (run / "snapshots" / newest / "weights.safetensors").write_bytes(b"")
    told: list[str] = []
    assert evaluate(run, load_encoders(["pr_own"]), say=told.append).snapshot == oldest
    assert len(told) == 1
    assert newest in told[0]


def test_another_version_is_refused_unless_it_is_asked_for(run: Path, tmp_path: Path) -> None:
    other = make_version(tmp_path / "other", 12)
    own = read_run(run).version_hash
    found = PublishedVersion(other).hash
    pointed_at(run, other)
    with pytest.raises(SetupError, match=f"{own[:12]}, is now {found[:12]}; .*--version"):
        evaluate(run, load_encoders(OWN))
    assert not (run / "metrics.jsonl").exists()
    index = (run / "index.npz").read_bytes()
    taken = evaluate(run, load_encoders(OWN), source=Source(str(other)))
    assert (taken.version_hash, taken.count) == (found, 12)
    # it would be taken for a figure beside the run's own version
    assert read_run(run).metrics == ()
    assert [row["version_hash"] for row in read_rows(run / "metrics.jsonl")] == [found]
    assert (run / "index.npz").read_bytes() == index


def test_a_version_that_was_moved(run: Path, trained: Trained, tmp_path: Path) -> None:
    pointed_at(run, tmp_path / "gone")
    with pytest.raises(ShardError, match="if the version was moved, give it with --version"):
        evaluate(run, load_encoders(OWN))
    moved = shutil.copytree(trained.version, tmp_path / "moved")
    evaluate(run, load_encoders(OWN), source=Source(str(moved)))
    assert {m.name for m in read_run(run).metrics} == VALUES


def test_pictures_of_another_size_are_refused(run: Path, tmp_path: Path) -> None:
    other = make_version(tmp_path / "other", 5)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "height": 32}))
    with pytest.raises(SetupError, match=r"pictures of 16×12 px .* has 32×12 px"):
        evaluate(run, load_encoders(OWN), source=Source(str(other)))


def test_other_classes_are_refused(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.conditional, tmp_path)
    other = make_version(tmp_path / "other", 12, labels=("boot", "sandal"))
    with pytest.raises(SetupError, match="boot, shoe, unlabelled, has boot, sandal"):
        evaluate(run, load_encoders(OWN), source=Source(str(other)))


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="give the folder of a run"):
        evaluate(tmp_path / "runs", load_encoders(["pr_own"]))
    assert not (tmp_path / "runs").exists()


def test_statistics_of_several_runs_share_a_cache(
    run: Path, trained: Trained, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    fold = trained.copy_of(trained.folds[0], tmp_path)
    for number, subject in ((1, run), (2, fold), (2, run)):
        evaluate(subject, load_encoders(["fd_own"]), source=Source(cache=cache))
        assert len(list((cache / "statistics").iterdir())) == number


def test_a_torn_row_costs_no_other(run: Path) -> None:
    figures = Figures("quarters-1")
    figures["fd_own"] = float("nan")
    taken = Evaluation("kimg-000000.032", 32, "0", 5, 1.0, 0, (figures,))
    (run / "metrics.jsonl").write_text('{"cur_ni')
    record(RunFolder(run), taken)
    record(RunFolder(run), taken)
    rows = list(read_rows(run / "metrics.jsonl"))
    assert [row["values"] for row in rows] == [{"fd_own": None}] * 2
    assert np.isnan(read_run(run).metrics[0].value)


def test_usual_count(trained: Trained) -> None:
    index = check(PublishedVersion(trained.version))
    everything = select(index, load_model(trained.plain).config.data)
    assert usual_count(everything) == ITEMS


def test_neighbours_are_drawn(run: Path) -> None:
    told: list[tuple[int, int]] = []
    report = neighbours(
        run, count=4, k=3, progress=lambda what, done, total: told.append((done, total))
    )
    assert report.path == run / f"neighbours-{names(run / 'snapshots')[-1]}.png"
    with Image.open(report.path) as image:
        # four rows of a picture, a gap and a line; a sample and three neighbours
        assert image.height > 4 * 16
        assert image.width > 4 * 12
    assert report.ratio > 0
    assert report.encoder == OwnEncoder.name
    assert told[-1] == (ITEMS, ITEMS)
