from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import ITEMS, Trained
from tests.training.data.making import key_of, make_version
from training.data.select import fold_of
from training.errors import DivergedError, SetupError, ShardError, SnapshotError
from training.folds import combine
from training.models import load_model
from training.runs.snapshots import load, names, save
from training.score import Batch, Score, score_items
from training.score_run import ItemScore, score_version
from training.shards import PublishedVersion
from training.trained_on import Source

KEYS = [key_of(number) for number in range(ITEMS)]


def by_hand(run: Path, version: Path, keys: list[str], **options: Any) -> dict[str, Score]:
    """Scores of given pictures, read another way: shards from front to back."""
    model = load_model(run)

    def batches() -> Iterator[Batch]:
        for sample in PublishedVersion(version).samples():
            if sample.key in keys:
                pixels = torch.from_numpy(sample.pixels).permute(2, 0, 1)[None]
                names = [sample.label or "unlabelled"]
                labels = torch.tensor([model.labels.index(n) for n in names if model.labels])
                yield [sample.key], pixels, labels if model.labels else None

    group = model.config.network.mbstd_group
    assert group is not None
    scores = score_items(model.D, batches(), seed=0, group=group, device="cpu", **options)
    return {score.item: score for score in scores}


def with_settings(run: Path, folder: Path, **values: Any) -> Path:
    """A copy whose newest snapshot says that it was trained otherwise."""
    copy = shutil.copytree(run, folder)
    name = names(copy / "snapshots")[-1]
    snapshot = load(copy / "snapshots" / name)
    config = {**snapshot.values["config"]}
    config["data"] = {**config["data"], **values.pop("data", {})}
    changed = {**snapshot.values, "config": config, **values}
    save(copy / "snapshots", name, replace(snapshot, values=changed))
    return copy


@pytest.mark.parametrize("which", ["plain", "conditional"])
def test_one_run_scores_every_picture_it_was_trained_on(trained: Trained, which: str) -> None:
    run = getattr(trained, which)
    scores = list(score_version([run], shuffles=3))
    assert [score.item for score in scores] == KEYS
    assert {(score.n, score.fold) for score in scores} == {(3, None)}
    expected = by_hand(run, trained.version, KEYS, shuffles=3)
    for score in scores:
        assert score.mean == pytest.approx(expected[score.item].mean, rel=1e-4, abs=1e-5)
        assert score.standard_error == pytest.approx(
            expected[score.item].standard_error, rel=1e-2, abs=1e-5
        )
    assert len({score.mean for score in scores}) == ITEMS


def test_equal_seeds_give_equal_scores(trained: Trained) -> None:
    first, again, other = (list(score_version([trained.plain], seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first != other
    small = list(score_version([trained.plain], seed=1, batch=4))
    assert [s.mean for s in small] == pytest.approx([s.mean for s in first], rel=1e-4, abs=1e-6)


def test_pictures_are_inverted_as_in_training(trained: Trained, tmp_path: Path) -> None:
    """A version of the same pictures that is not inverted is scored as the inverted one is."""
    upright = make_version(tmp_path / "upright", ITEMS)
    assert not PublishedVersion(upright).inverted
    expected = list(score_version([trained.plain]))
    assert list(score_version([trained.plain], source=Source(str(upright)))) == expected


def test_folds_score_each_picture_once_by_the_run_that_has_not_seen_it(trained: Trained) -> None:
    scores = list(score_version(trained.folds, shuffles=3))
    assert sorted(score.item for score in scores) == KEYS
    assert all(score.fold == fold_of(score.item, 2) + 1 for score in scores)
    parts = {i: [key for key in KEYS if fold_of(key, 2) == i - 1] for i in (1, 2)}
    assert all(parts.values())
    expected = combine(
        {
            i: by_hand(run, trained.version, parts[i], shuffles=3)
            for i, run in enumerate(trained.folds, 1)
        }
    )
    for score in scores:
        assert score.mean == pytest.approx(expected[score.item].mean, rel=1e-2, abs=1e-2)
    assert [score.fold for score in scores] == sorted(score.fold or 0 for score in scores)


def test_the_order_of_runs_does_not_matter(trained: Trained) -> None:
    one, other = trained.folds
    assert list(score_version([one, other])) == list(score_version([other, one]))


def test_progress_goes_on_from_part_to_part(trained: Trained) -> None:
    told: list[tuple[int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "scored":
            told.append((done, total))

    list(score_version(trained.folds, batch=4, progress=progress))
    assert told == sorted(told)
    assert told[-1] == (ITEMS, ITEMS)


def test_an_incomplete_training_is_refused(trained: Trained, tmp_path: Path) -> None:
    one, two = trained.folds
    third = with_settings(one, tmp_path / "third", data={"fold": "1/3"})
    refused: dict[str, list[Path]] = {
        "the runs with data.fold 2/2 are missing": [one],
        "the runs with data.fold 2/3, 3/3 are missing": [third],
        "plain has seen all pictures": [one, trained.plain],
        "is by .*fold1 and .*fold1; give one": [one, one],
        "got both 2 and 3 parts": [two, third],
        "scores need the folder of a run": [],
    }
    for told, runs in refused.items():
        with pytest.raises(SetupError, match=told):
            score_version(runs)
    with pytest.raises(SetupError, match="has seen all pictures"):
        score_version([trained.plain, trained.conditional])


def test_folds_must_have_been_trained_alike(trained: Trained, tmp_path: Path) -> None:
    one, two = trained.folds
    for key, values in {
        "data.tags": {"data": {"tags": ["pov"]}},
        "version_hash": {"version_hash": "0"},
        "inverted": {"inverted": False},
    }.items():
        other = with_settings(two, tmp_path / key, **values)
        with pytest.raises(SetupError, match=f"`{key}` must be the same"):
            score_version([one, other])


def test_only_what_tags_select_is_scored(trained: Trained, tmp_path: Path) -> None:
    run = with_settings(trained.plain, tmp_path / "run", data={"tags": ["pov"]})
    assert [score.item for score in score_version([run])] == KEYS[::2]


def test_the_mean_of_several_snapshots(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    newest = means(score_version([run]))
    both = means(score_version([run], newest=2))
    shutil.rmtree(run / "snapshots" / names(run / "snapshots")[-1])
    older = means(score_version([run]))
    assert not np.allclose(older, newest)
    assert both == pytest.approx((older + newest) / 2, rel=1e-4, abs=1e-5)
    with pytest.raises(SnapshotError, match=r"must have 2 whole snapshots, has 1; .*--snapshots"):
        score_version([run], newest=2)


def means(scores: Iterator[ItemScore]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([score.mean for score in scores])


def test_a_damaged_snapshot_is_passed_over_by_name(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    oldest, newest = names(run / "snapshots")
    (run / "snapshots" / newest / "weights.safetensors").unlink()
    told: list[str] = []
    score_version([run], say=told.append)
    assert len(told) == 1
    assert newest in told[0]
    (run / "snapshots" / oldest / "state.json").unlink()
    with pytest.raises(SnapshotError, match="has 0"):
        score_version([run])


def test_a_single_shuffle_has_no_standard_error(trained: Trained) -> None:
    assert all(
        math.isnan(score.standard_error) for score in score_version([trained.plain], shuffles=1)
    )


@pytest.mark.parametrize("number", ["newest", "shuffles", "batch"])
def test_numbers_out_of_range(trained: Trained, number: str) -> None:
    numbers: dict[str, Any] = {number: 0}
    with pytest.raises(SetupError, match=f"{number}=0"):
        score_version([trained.plain], **numbers)


def test_a_version_without_the_classes(trained: Trained, tmp_path: Path) -> None:
    other = make_version(tmp_path / "other", 6, labels=("boot", "shoe"))
    with pytest.raises(SetupError, match="boot, shoe, unlabelled, has boot, shoe"):
        score_version([trained.conditional], source=Source(str(other)))


def test_what_comes_out_while_scoring(trained: Trained, tmp_path: Path) -> None:
    """A shard that goes away, and logits beyond what is a number."""
    version = shutil.copytree(trained.version, tmp_path / "version")
    scores = score_version([trained.plain], source=Source(str(version)))
    shutil.rmtree(version / "shards")
    with pytest.raises(ShardError, match="cannot be read"):
        next(scores)
    run = trained.copy_of(trained.plain, tmp_path)
    newest = run / "snapshots" / names(run / "snapshots")[-1]
    snapshot = load(newest)
    huge = {**snapshot.tensors, "D.head.out.bias": torch.tensor([3e38])}
    huge["D.head.dense.bias"] = torch.full_like(huge["D.head.dense.bias"], 3e38)
    save(run / "snapshots", newest.name, replace(snapshot, tensors=huge))
    with pytest.raises(DivergedError, match="must be finite"):
        list(score_version([run]))
