from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.making import key_of, make_index
from training.config import DataConfig
from training.data.index import SampleIndex
from training.data.select import fold_of, parse_fold, select
from training.errors import SetupError

LABELS = ["shoe", None, "boot", "sandal", "shoe", None]
TAGS = [["pov"], ["pov"], ["pov", "worn"], [], ["worn"], []]


@pytest.fixture
def index() -> SampleIndex:
    return make_index(LABELS, TAGS)


def indices(index: SampleIndex, **config: object) -> list[int]:
    return select(index, DataConfig.model_validate(config)).indices.tolist()


def test_everything_by_default(index: SampleIndex) -> None:
    chosen = select(index, DataConfig())
    assert chosen.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert chosen.indices.dtype == np.int64
    assert (chosen.labels, chosen.classes, len(chosen)) == (None, (), 6)


def test_all_of_the_tags_and_one_of_the_labels(index: SampleIndex) -> None:
    assert indices(index, tags=("pov",)) == [0, 1, 2]
    assert indices(index, tags=("pov", "worn")) == [2]
    assert indices(index, labels=("shoe", "boot")) == [0, 2, 4]
    assert indices(index, labels=("shoe", "boot"), tags=("worn",)) == [2, 4]


def test_classes_are_sorted_with_the_unlabelled_last(index: SampleIndex) -> None:
    chosen = select(index, DataConfig(conditional=True))
    assert chosen.classes == ("boot", "sandal", "shoe", "unlabelled")
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [2, 3, 0, 1, 2, 3]
    assert chosen.labels.dtype == np.int64


def test_classes_are_those_that_are_left(index: SampleIndex) -> None:
    chosen = select(index, DataConfig(conditional=True, labels=("shoe", "boot")))
    assert chosen.classes == ("boot", "shoe")
    assert chosen.labels is not None and chosen.labels.tolist() == [1, 0, 1]


def test_a_label_called_unlabelled_takes_them_in_as_exports_do() -> None:
    chosen = select(make_index(["zebra", "unlabelled", None]), DataConfig(conditional=True))
    assert chosen.classes == ("unlabelled", "zebra")
    assert chosen.labels is not None and chosen.labels.tolist() == [1, 0, 0]


def test_classes_without_any_label_are_refused() -> None:
    with pytest.raises(SetupError, match=r"`data\.conditional` must be off"):
        select(make_index([None, None]), DataConfig(conditional=True))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tags": ("pow",)}, "no tag `pow`; did you mean `pov`? (there are `pov`, `worn`)"),
        ({"labels": ("shoes",)}, "no label `shoes`; did you mean `shoe`?"),
        ({"labels": ("xyz",)}, "no label `xyz` (there are `boot`, `sandal`, `shoe`)"),
    ],
)
def test_what_is_unknown_is_named_with_what_is_close(
    index: SampleIndex, config: dict[str, Sequence[str]], said: str
) -> None:
    with pytest.raises(SetupError, match=re.escape(said)):
        indices(index, **config)


def test_a_version_without_tags_says_so() -> None:
    with pytest.raises(SetupError, match="its pictures have no tags"):
        indices(make_index([None]), tags=("pov",))


def test_of_many_tags_some_are_shown() -> None:
    index = make_index([None], [[f"tag-{n:02}" for n in range(30)]])
    with pytest.raises(SetupError, match=r"`tag-19` and 10 more"):
        indices(index, tags=("other",))


def test_the_filter_that_took_the_last_is_named(index: SampleIndex) -> None:
    said = (
        "no picture is left to train on: of 6 pictures, 3 have the tag `pov`, "
        "0 have the label `sandal`"
    )
    with pytest.raises(SetupError, match=re.escape(said)):
        indices(index, tags=("pov",), labels=("sandal",))


def test_a_fold_may_take_the_last() -> None:
    part = fold_of(key_of(0), 2) + 1
    with pytest.raises(SetupError, match=f"of 1 pictures, 0 are outside of fold {part}/2"):
        indices(make_index([None]), fold=f"{part}/2")


@settings(max_examples=30)
@given(st.integers(2, 9))
def test_folds_leave_out_every_picture_once(n: int) -> None:
    index = make_index([None] * 100)
    left_out = [set(range(100)) - set(indices(index, fold=f"{k}/{n}")) for k in range(1, n + 1)]
    assert sorted(number for part in left_out for number in part) == list(range(100))
    assert all(
        fold_of(index.key(number), n) == k for k, part in enumerate(left_out) for number in part
    )


def test_folds_are_about_equal_and_do_not_depend_on_the_rest() -> None:
    sizes = np.bincount(make_index([None] * 1000).folds(5), minlength=5)
    assert sizes.min() > 150 and sizes.max() < 250
    many, few = make_index([None] * 1000), make_index([None] * 10)
    assert many.folds(5)[:10].tolist() == few.folds(5).tolist()


def test_folds_never_change() -> None:
    # Scores of old runs are of what their folds left out.
    assert [fold_of(key_of(n), 5) for n in range(8)] == [2, 3, 3, 2, 0, 0, 0, 4]


def test_every_fold_has_the_same_classes() -> None:
    index = make_index(["a", "b", None])
    of_folds = {
        select(index, DataConfig(conditional=True, fold=f"{k}/50")).classes for k in range(1, 51)
    }
    assert of_folds == {("a", "b", "unlabelled")}


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "1/0", "a/b", "1", "-1/5", "1/2/3"])
def test_what_is_no_fold_is_refused(fold: str) -> None:
    with pytest.raises(SetupError, match=rf"`data\.fold` must be k/n .* got `{fold}`"):
        parse_fold(fold)
