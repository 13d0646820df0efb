"""Pictures that stream by are scored as those of a version are, by the networks that may."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.conftest import ITEMS, Trained
from tests.training.test_score_run import KEYS, with_settings
from training.data.select import fold_of
from training.errors import SetupError, SnapshotError
from training.folds import combine
from training.judges import newest_of
from training.rank import POOL, Judges, Pictures, load_judges, score_pictures
from training.runs.snapshots import names
from training.score import Score
from training.score_run import ItemScore, score_version
from training.shards import PublishedVersion


def newest(run: Path, count: int = 1) -> tuple[Path, list[str]]:
    return run, names(run / "snapshots")[::-1][:count]


def seen(version: Path) -> dict[str, NDArray[np.uint8]]:
    """Pictures as people see them, by their keys."""
    found = PublishedVersion(version)
    return {s.key: 255 - s.pixels if found.inverted else s.pixels for s in found.samples()}


def batches(
    version: Path, size: int = 5, keys: list[str] = KEYS, labels: NDArray[Any] | None = None
) -> Iterator[Pictures]:
    pixels = seen(version)
    for first in range(0, len(keys), size):
        some = keys[first : first + size]
        part = None if labels is None else labels[first : first + size]
        yield some, np.stack([pixels[key] for key in some]), part


def scored(judges: Judges, pictures: Iterator[Pictures], **options: Any) -> dict[str, ItemScore]:
    return {score.item: score for score in score_pictures(judges, pictures, **options)}


def assert_alike(found: dict[str, ItemScore], expected: dict[str, ItemScore]) -> None:
    assert found.keys() == expected.keys()
    for item, score in found.items():
        assert score.mean == pytest.approx(expected[item].mean, rel=1e-4, abs=1e-5)
        assert score.standard_error == pytest.approx(
            expected[item].standard_error, rel=1e-2, abs=1e-5
        )


@pytest.mark.parametrize("count", [1, 2])
def test_scores_are_those_of_the_version(trained: Trained, count: int) -> None:
    """The runs were trained on inverted pictures; what streams by is not inverted."""
    assert PublishedVersion(trained.version).inverted
    judges = load_judges([newest(trained.plain, count)])
    assert (judges.size, judges.folds, judges.labels) == ((16, 12), 1, ())
    found = scored(judges, batches(trained.version), shuffles=3, seed=4)
    expected = score_version([trained.plain], newest=count, shuffles=3, seed=4)
    assert_alike(found, {score.item: score for score in expected})
    assert {score.fold for score in found.values()} == {None}


def test_pictures_of_a_run_that_inverts_nothing_stay_as_they_are(
    trained: Trained, tmp_path: Path
) -> None:
    upright = with_settings(trained.plain, tmp_path / "upright", inverted=False)
    found = scored(load_judges([newest(upright)]), batches(trained.version), seed=0)
    turned = ((keys, 255 - pixels, labels) for keys, pixels, labels in batches(trained.version))
    assert_alike(found, scored(load_judges([newest(trained.plain)]), turned, seed=0))


def test_classes_are_told(trained: Trained) -> None:
    judges = load_judges([newest(trained.conditional)])
    assert judges.labels == ("boot", "shoe", "unlabelled")
    numbers = judges.classes(["shoe", None, "hat", "boot"])
    assert numbers.tolist() == [1, 2, -1, 0]
    labels = judges.classes(
        [sample.label for sample in PublishedVersion(trained.version).samples()]
    )
    order = [sample.key for sample in PublishedVersion(trained.version).samples()]
    found = scored(judges, batches(trained.version, keys=order, labels=labels), seed=0)
    expected = {score.item: score for score in score_version([trained.conditional])}
    for item, score in found.items():
        assert score.mean == pytest.approx(expected[item].mean, abs=0.1)
    with pytest.raises(SetupError, match="these know boot, shoe, unlabelled"):
        scored(judges, batches(trained.version))
    plain = load_judges([newest(trained.plain)])
    with pytest.raises(SetupError, match="these know none"):
        scored(plain, batches(trained.version, labels=np.zeros(ITEMS, np.int64)))


def test_each_fold_is_judged_by_who_has_not_seen_it(trained: Trained) -> None:
    judges = load_judges([newest(run) for run in reversed(trained.folds)])
    assert judges.folds == 2
    found = scored(judges, batches(trained.version), shuffles=3, seed=0)
    assert sorted(found) == KEYS
    assert all(score.fold == fold_of(item, 2) + 1 for item, score in found.items())
    expected = {s.item: s for s in score_version(trained.folds, shuffles=3)}
    logits = {
        fold: {
            item: Score(item, s.mean, s.standard_error, s.n)
            for item, s in found.items()
            if s.fold == fold
        }
        for fold in (1, 2)
    }
    for item, score in combine(logits).items():
        assert score.mean == pytest.approx(expected[item].mean, rel=1e-2, abs=1e-2)


def test_networks_of_a_fold_are_loaded_when_it_comes(trained: Trained, tmp_path: Path) -> None:
    one, two = (trained.copy_of(run, tmp_path) for run in trained.folds)
    judges = load_judges([newest(one), newest(two)])
    (two / "snapshots" / names(two / "snapshots")[-1] / "weights.safetensors").unlink()
    first = [key for key in KEYS if fold_of(key, 2) == 0]
    assert sorted(scored(judges, batches(trained.version, keys=first))) == sorted(first)
    with pytest.raises(SnapshotError, match="weights"):
        scored(judges, batches(trained.version))


def test_equal_pictures_have_equal_scores(trained: Trained) -> None:
    judges = load_judges([newest(trained.plain)])
    first, again, other = (
        scored(judges, batches(trained.version, size), seed=seed)
        for size, seed in ((5, 1), (8, 1), (5, 2))
    )
    assert_alike(first, again)
    assert [s.mean for s in first.values()] != [s.mean for s in other.values()]


def test_chunks_come_as_soon_as_there_are_enough(trained: Trained) -> None:
    taken = 0

    def counted() -> Iterator[Pictures]:
        nonlocal taken
        for batch in batches(trained.version, 4):
            taken += len(batch[0])
            yield batch

    stream = score_pictures(load_judges([newest(trained.plain)]), counted(), chunk=8)
    next(stream)
    assert taken == 16
    assert sum(1 for _ in stream) == ITEMS - 1


def test_few_pictures_are_compared_with_others(trained: Trained) -> None:
    """Alone, a picture would be compared with itself, which D takes for a collapse."""
    judges = load_judges([newest(trained.plain)])
    whole = scored(judges, batches(trained.version), shuffles=16)
    lone = KEYS[3]
    asked: list[int] = []

    def others() -> Iterator[Pictures]:
        for batch in batches(trained.version, 4, [key for key in KEYS if key != lone]):
            asked.append(len(batch[0]))
            yield batch

    def alone() -> Iterator[Pictures]:
        return batches(trained.version, keys=[lone])

    beside = scored(judges, alone(), companions=others(), shuffles=16)
    itself = scored(judges, alone(), shuffles=16)
    assert beside.keys() == {lone}
    assert itself[lone].standard_error == 0
    assert beside[lone].standard_error > 0
    far, near = (abs(s[lone].mean - whole[lone].mean) for s in (itself, beside))
    assert near < far
    assert sum(asked) == judges.pool(0) == POOL * judges.judge(0).group  # no more than needed
    asked.clear()
    scored(judges, batches(trained.version), companions=others())
    assert asked == []


def test_what_does_not_fit(trained: Trained, tmp_path: Path) -> None:
    judges = load_judges([newest(trained.plain)])
    small = np.zeros((1, 12, 16, 3), np.uint8)
    with pytest.raises(SetupError, match=r"\(n, 16, 12, 3\).*got \(1, 12, 16, 3\)"):
        scored(judges, iter([(["a"], small, None)]))
    with pytest.raises(SetupError, match="2/2 are missing"):
        load_judges([newest(trained.folds[0])])
    run = trained.copy_of(trained.plain, tmp_path)
    with pytest.raises(SnapshotError, match=r"kimg-000009\.000 is no snapshot"):
        load_judges([(run, ["kimg-000009.000"])])


def test_nothing_gives_nothing(trained: Trained) -> None:
    judges = load_judges([newest(trained.plain)])
    assert scored(judges, iter(())) == {}


def test_a_jury_is_that_of_the_run(trained: Trained) -> None:
    """Found by names or as the newest: the same networks."""
    by_name = load_judges([newest(trained.plain, 2)]).judge(0)
    assert by_name == newest_of(trained.plain, 2, lambda _: None)
    images = torch.zeros(2, 3, 16, 12)
    features = by_name.jury("cpu").features(images)
    assert not math.isnan(float(features.sum()))
    assert features.shape[1] % 2 == 0
