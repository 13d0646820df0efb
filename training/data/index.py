"""Where every sample of a version lies, and what is known about it, as flat arrays.

44 bytes a sample, its key (64 bytes for the hash of an image) and 4 bytes a tag: ten million take
about 1.1 GB. Processes that are forked share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.data.files import written_whole
from training.errors import ShardError

_DTYPES: Final = {
    "shard": np.int32,
    "offset": np.int64,
    "length": np.int32,
    "key_ends": np.int64,
    "key_text": np.uint8,
    "key_hash": np.uint64,
    "label": np.int32,
    "tag_ends": np.int64,
    "tag": np.int32,
}
_NAMES: Final = ("shards", "labels", "tags")
_PER_SAMPLE: Final = ("shard", "offset", "length", "key_ends", "key_hash", "label", "tag_ends")


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """All samples of a version, in the order of its shards.

    Attributes
    ----------
    shards : tuple of str
        Names of the files.
    shard : ndarray of shape (n,), int32
        Which of them.
    offset : ndarray of shape (n,), int64
        Where the encoded picture begins in it, bytes.
    length : ndarray of shape (n,), int32
        Its bytes.
    key_ends : ndarray of shape (n,), int64
        Where keys end in `key_text`.
    key_text : ndarray, uint8
        All keys in a row, UTF-8.
    key_hash : ndarray of shape (n,), uint64
        `hash_of` them.
    label : ndarray of shape (n,), int32
        Place in `labels`; -1 where there is none.
    labels : tuple of str
        Sorted.
    tag_ends : ndarray of shape (n,), int64
        Where a sample's tags end in `tag`.
    tag : ndarray, int32
        Places in `tags`.
    tags : tuple of str
        Sorted.
    """

    shards: tuple[str, ...]
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int32]
    key_ends: NDArray[np.int64]
    key_text: NDArray[np.uint8]
    key_hash: NDArray[np.uint64]
    label: NDArray[np.int32]
    labels: tuple[str, ...]
    tag_ends: NDArray[np.int64]
    tag: NDArray[np.int32]
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(int(getattr(self, name).nbytes) for name in _DTYPES)

    def key(self, number: int) -> str:
        """Key of a sample: the id of its item, `#` and `,` of a crop replaced."""
        begin = int(self.key_ends[number - 1]) if number else 0
        return bytes(self.key_text[begin : self.key_ends[number]]).decode()

    def label_of(self, number: int) -> str | None:
        """Label of a sample, if it has one."""
        label = int(self.label[number])
        return self.labels[label] if label >= 0 else None

    def tags_of(self, number: int) -> tuple[str, ...]:
        """Tags of a sample, sorted."""
        begin = int(self.tag_ends[number - 1]) if number else 0
        return tuple(self.tags[place] for place in self.tag[begin : self.tag_ends[number]])

    def has_tag(self, tag: str) -> NDArray[np.bool_]:
        """Tell which samples have a tag."""
        mask = np.zeros(len(self), np.bool_)
        if tag in self.tags:
            found = np.flatnonzero(self.tag == self.tags.index(tag))
            mask[np.searchsorted(self.tag_ends, found, side="right")] = True
        return mask

    def has_label(self, label: str) -> NDArray[np.bool_]:
        """Tell which samples have a label."""
        place = self.labels.index(label) if label in self.labels else len(self.labels)
        return np.asarray(self.label == place)

    def folds(self, n: int) -> NDArray[np.int64]:
        """Part of n that each sample is in, from 0; the same as `fold_of` of its key."""
        return (self.key_hash % np.uint64(n)).astype(np.int64)

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Give the numbers of the samples that have these keys.

        Raises
        ------
        ShardError
            If one is not in the version.
        """
        hashes = np.array([hash_of(key) for key in keys], np.uint64)
        places = np.searchsorted(self.key_hash, hashes, sorter=self._by_hash)
        found = [self._same(key, int(at)) for key, at in zip(keys, places, strict=True)]
        unknown = [key for key, number in zip(keys, found, strict=True) if number < 0]
        if unknown:
            raise ShardError(
                f"the version has no picture `{unknown[0]}`"
                + (f", nor {len(unknown) - 1:,} others of {len(keys):,}" if unknown[1:] else "")
                + "; give the keys of this version"
            )
        return np.array(found, np.int64)

    @cached_property
    def _by_hash(self) -> NDArray[np.int64]:
        return np.argsort(self.key_hash, kind="stable")

    def _same(self, key: str, place: int) -> int:
        """Give the number of the sample with this key among those with its hash, else -1."""
        wanted = hash_of(key)
        while place < len(self) and int(self.key_hash[self._by_hash[place]]) == wanted:
            number = int(self._by_hash[place])
            if self.key(number) == key:
                return number
            place += 1
        return -1

    def twice(self) -> str | None:
        """Give a key that two samples have, if there is one."""
        ordered = self.key_hash[self._by_hash]
        for place in np.flatnonzero(ordered[1:] == ordered[:-1]):
            first, second = (self.key(int(number)) for number in self._by_hash[place : place + 2])
            if first == second:
                return first
        return None

    def save(self, path: Path, fingerprint: str) -> None:
        """Write it whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written there.
        """
        names = {name: list(getattr(self, name)) for name in _NAMES}
        text = json.dumps({"fingerprint": fingerprint, **names}).encode()
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _DTYPES}
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            np.savez(file, names=np.frombuffer(text, np.uint8), **arrays)


def load_index(path: Path, fingerprint: str) -> SampleIndex | None:
    """Read what `SampleIndex.save` wrote; None where it is missing, damaged or old."""
    with contextlib.suppress(Exception):  # whatever damage leads to: it can be made again
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            names = json.loads(found["names"].tobytes())
            if names["fingerprint"] != fingerprint:
                return None
            arrays: dict[str, Any] = {name: found[name] for name in _DTYPES}
        if _fit(arrays):
            return SampleIndex(**arrays | {name: tuple(names[name]) for name in _NAMES})
    return None


def _fit(arrays: dict[str, NDArray[Any]]) -> bool:
    samples = len(arrays["shard"])
    return (
        all(arrays[name].dtype == dtype for name, dtype in _DTYPES.items())
        and all(arrays[name].shape == (samples,) for name in _PER_SAMPLE)
        and samples > 0
        and int(arrays["key_ends"][-1]) == len(arrays["key_text"])
        and int(arrays["tag_ends"][-1]) == len(arrays["tag"])
    )


def hash_of(key: str) -> int:
    """Hash a key into 64 bits, the same on every machine (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


class IndexPart:
    """The samples of one shard, being collected."""

    def __init__(self) -> None:
        self.offset: list[int] = []
        self.length: list[int] = []
        self.keys: list[bytes] = []
        self.key_hash: list[int] = []
        self.label: list[int] = []
        self.tag: list[int] = []
        self.tag_counts: list[int] = []
        self.labels: dict[str, int] = {}
        self.tags: dict[str, int] = {}

    def add(
        self, key: str, offset: int, length: int, label: str | None, tags: Sequence[str]
    ) -> None:
        """Take in one sample."""
        self.offset.append(offset)
        self.length.append(length)
        self.keys.append(key.encode())
        self.key_hash.append(hash_of(key))
        place = -1 if label is None else self.labels.setdefault(label, len(self.labels))
        self.label.append(place)
        own = sorted(set(tags))
        self.tag += [self.tags.setdefault(tag, len(self.tags)) for tag in own]
        self.tag_counts.append(len(own))

    def packed(self) -> PackedPart:
        """Give it as arrays."""
        return PackedPart(
            np.array(self.offset, np.int64),
            np.array(self.length, np.int32),
            np.array([len(key) for key in self.keys], np.int64),
            np.frombuffer(b"".join(self.keys), np.uint8),
            np.array(self.key_hash, np.uint64),
            np.array(self.label, np.int32),
            tuple(self.labels),
            np.array(self.tag_counts, np.int64),
            np.array(self.tag, np.int32),
            tuple(self.tags),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedPart:
    """The samples of one shard; labels and tags are numbered within it."""

    offset: NDArray[np.int64]
    length: NDArray[np.int32]
    key_lengths: NDArray[np.int64]
    key_text: NDArray[np.uint8]
    key_hash: NDArray[np.uint64]
    label: NDArray[np.int32]
    labels: tuple[str, ...]
    tag_counts: NDArray[np.int64]
    tag: NDArray[np.int32]
    tags: tuple[str, ...]


def join_parts(shards: Sequence[str], parts: Sequence[PackedPart]) -> SampleIndex:
    """Make one index of all shards.

    Parameters
    ----------
    shards
        Names of their files.
    parts
        One for each, in the same order.
    """
    labels = tuple(sorted({label for part in parts for label in part.labels}))
    tags = tuple(sorted({tag for part in parts for tag in part.tags}))
    sizes = [len(part.offset) for part in parts]
    return SampleIndex(
        shards=tuple(shards),
        shard=np.repeat(np.arange(len(parts), dtype=np.int32), sizes),
        offset=np.concatenate([part.offset for part in parts]),
        length=np.concatenate([part.length for part in parts]),
        key_ends=np.cumsum(np.concatenate([part.key_lengths for part in parts])),
        key_text=np.concatenate([part.key_text for part in parts]),
        key_hash=np.concatenate([part.key_hash for part in parts]),
        label=_renumbered([(part.label, part.labels) for part in parts], labels),
        labels=labels,
        tag_ends=np.cumsum(np.concatenate([part.tag_counts for part in parts])),
        tag=_renumbered([(part.tag, part.tags) for part in parts], tags),
        tags=tags,
    )


def _renumbered(
    parts: Sequence[tuple[NDArray[np.int32], tuple[str, ...]]], names: tuple[str, ...]
) -> NDArray[np.int32]:
    place = {name: number for number, name in enumerate(names)}
    # One more at the end: -1, which stands for none, stays -1.
    tables = [np.array([*(place[name] for name in own), -1], np.int32) for _, own in parts]
    return np.concatenate([table[own] for table, (own, _) in zip(tables, parts, strict=True)])


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, by which one sees that it is still the same."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns
