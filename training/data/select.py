"""Which samples of a version are trained on, and as which classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.config import DataConfig
from training.data.index import SampleIndex, hash_of
from training.errors import SetupError

UNLABELLED: Final = "unlabelled"
"""The class of pictures without a label, where others have one."""

_SHOWN: Final = 20


@dataclass(frozen=True, eq=False)
class Selection:
    """Samples to train on.

    Attributes
    ----------
    indices : ndarray of shape (n,), int64
        Their numbers in the index, ascending.
    labels : ndarray of shape (n,), int64, or None
        Places in `classes`; None where training takes no labels.
    classes : tuple of str
        Sorted, `unlabelled` last; empty where training takes no labels.
    index : SampleIndex
        What was selected from.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    index: SampleIndex

    def __len__(self) -> int:
        return len(self.indices)


def select(index: SampleIndex, config: DataConfig) -> Selection:
    """Select samples by tags, labels and fold.

    Parameters
    ----------
    index
        All samples of a version.
    config
        `tags` (all of them), `labels` (one of them), `conditional`, `fold`. Classes are those of
        the pictures that tags and labels leave: every fold has the same ones.

    Raises
    ------
    SetupError
        If a tag or a label is unknown (close ones are named), nothing is left (the filter that
        took the last is named), or classes are asked for where no picture has a label.
    """
    _known("tag", config.tags, index.tags)
    _known("label", config.labels, index.labels)
    mask = np.ones(len(index), np.bool_)
    story = [f"of {len(index):,} pictures"]
    for tag in config.tags:
        mask &= index.has_tag(tag)
        _some_left(mask, story, f"have the tag `{tag}`")
    if config.labels:
        mask &= np.any([index.has_label(label) for label in config.labels], axis=0)
        names = ", ".join(f"`{label}`" for label in config.labels)
        _some_left(mask, story, f"have the label {names}")
    classes = _classes(index, mask) if config.conditional else ()
    if config.fold is not None:
        k, n = parse_fold(config.fold)
        mask &= index.folds(n) != k - 1
        _some_left(mask, story, f"are outside of fold {config.fold}")
    indices = np.flatnonzero(mask).astype(np.int64)
    labels = _class_numbers(index, indices, classes) if config.conditional else None
    return Selection(indices, labels, classes, index)


def fold_of(key: str, n: int) -> int:
    """Give the part of n, from 0, that a key belongs to; the same on every machine and for good.

    Parameters
    ----------
    key
        Of a sample.
    n
        Parts, >= 1.
    """
    if n < 1:
        raise ValueError(f"`n` must be >= 1, got {n=}")
    return hash_of(key) % n


def parse_fold(fold: str) -> tuple[int, int]:
    """Read `k/n`; k is from 1 to n.

    Raises
    ------
    SetupError
        If it is anything else.
    """
    first, _, second = fold.partition("/")
    if first.isdecimal() and second.isdecimal():
        k, n = int(first), int(second)
        if 1 <= k <= n and 2 <= n < 2**31:
            return k, n
    raise SetupError(
        f"`data.fold` must be k/n with n >= 2 and k from 1 to n, got `{fold}`; `2/5` leaves out "
        "the second of five parts"
    )


def _known(kind: str, wanted: Sequence[str], known: tuple[str, ...]) -> None:
    for name in wanted:
        if name in known:
            continue
        close = [f"`{found}`" for found in difflib.get_close_matches(name, known, 3, 0.6)]
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        shown = ", ".join(f"`{found}`" for found in known[:_SHOWN])
        more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
        there = f"there are {shown}{more}" if known else f"its pictures have no {kind}s"
        raise SetupError(f"`data.{kind}s`: the version has no {kind} `{name}`{hint} ({there})")


def _some_left(mask: NDArray[np.bool_], story: list[str], rule: str) -> None:
    left = int(np.count_nonzero(mask))
    story.append(f"{left:,} {rule}")
    if not left:
        raise SetupError(f"no picture is left to train on: {', '.join(story)}; drop a filter")


def _classes(index: SampleIndex, mask: NDArray[np.bool_]) -> tuple[str, ...]:
    places = np.unique(index.label[mask])
    classes = [index.labels[place] for place in places if place >= 0]  # which are sorted
    if not classes:
        raise SetupError(
            "`data.conditional` must be off where no picture has a label; give labels in the "
            "sources and publish again, or train without it"
        )
    if places[0] < 0 and UNLABELLED not in classes:
        classes.append(UNLABELLED)
    return tuple(classes)


def _class_numbers(
    index: SampleIndex, indices: NDArray[np.int64], classes: tuple[str, ...]
) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(classes)}
    none = place.get(UNLABELLED, -1)
    table = np.array([*(place.get(name, -1) for name in index.labels), none], np.int64)
    return table[index.label[indices]]  # -1 is the table's last
