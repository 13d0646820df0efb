"""Shards: tar files in the layout of WebDataset, and their checksums, written in one pass.

A sample is two members that share a key: `<key>.jpg` (or png, webp) and `<key>.json`. Readers split
names at the first dot, so that a key has none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import IO, Final, Self

from data_catalog.errors import StorageError
from data_catalog.storage import Root, naming
from data_catalog.tarball import END, header, padding

SAMPLES_PER_SHARD: Final = 1000
MAX_SHARD_BYTES: Final = 256 << 20
EXTENSIONS: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}

_BUFFER: Final = 1 << 20
_BUFFERS: Final = 4
_ITEM: Final = re.compile(r"([0-9A-Za-z]{1,80})(?:#(\d+),(\d+),(\d+),(\d+))?")


@dataclass(frozen=True, slots=True)
class Shard:
    """One finished shard: file name, SHA-256 of the file in hex, bytes, samples."""

    name: str
    sha256: str
    bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture as it lies in a shard; `extension` without a dot, `meta` is JSON text."""

    key: str
    extension: str
    image: bytes
    meta: bytes


def key_of(item_id: str) -> str:
    """Give the key of an item: no dot, safe in file names, another for each item.

    `abc#1,2,3,4` becomes `abc_1-2-3-4`; ids of any other form become their SHA-256.
    """
    match = _ITEM.fullmatch(item_id)
    if match is None:
        return hashlib.sha256(item_id.encode()).hexdigest()
    image, *box = match.groups()
    return image if box[0] is None else f"{image}_{'-'.join(box)}"


class _OpenShard:
    """A shard that is being written. Only one thread at a time uses it."""

    def __init__(self, folder: Root, name: str) -> None:
        self.name = name
        self.samples = 0
        self.bytes = 0
        self._folder = folder
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Append to the file and to the checksum."""
        with naming(self._folder.join(self.name)):
            if self._file is None:
                self._file = self._folder.open(self.name, "xb" if self._folder.is_local else "wb")
            self._hash.update(data)
            self._file.write(data)

    def finish(self) -> Shard:
        """Close the file when all of it is on the disk."""
        assert self._file is not None
        with naming(self._folder.join(self.name)):
            self._file.flush()
            if self._folder.is_local:
                os.fsync(self._file.fileno())
            self._file.close()
        return Shard(self.name, self._hash.hexdigest(), self.bytes, self.samples)

    def abandon(self) -> None:
        """Close the file whatever becomes of it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


class ShardWriter:
    """Writes `00000.tar`, `00001.tar`, … into a folder. A context manager; memory is flat.

    Checksums and writes run in a thread of their own beside the reading of pictures.

    Parameters
    ----------
    folder
        Exists and is empty.
    samples_per_shard, max_bytes
        A shard ends before it exceeds either; one sample above `max_bytes` has its own.
    """

    def __init__(
        self,
        folder: Root,
        *,
        samples_per_shard: int = SAMPLES_PER_SHARD,
        max_bytes: int = MAX_SHARD_BYTES,
    ) -> None:
        if samples_per_shard < 1:
            raise ValueError(f"`samples_per_shard` must be >= 1, got {samples_per_shard}")
        self.shards: list[Shard] = []
        self._folder = folder
        self._samples_per_shard = samples_per_shard
        self._max_bytes = max_bytes
        self._begun = 0
        self._shard: _OpenShard | None = None
        # The same few buffers all the time: fresh memory is slow to touch. One is being filled
        # while the others are being written.
        self._buffers = [memoryview(bytearray(_BUFFER)) for _ in range(_BUFFERS)]
        self._filled = 0
        self._jobs: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._end_shard()
                self._wait(0)
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
            if self._shard is not None:
                self._shard.abandon()

    def add(self, sample: Sample) -> str:
        """Write a sample and give the name of its shard."""
        parts = [
            *_member(f"{sample.key}.{sample.extension}", sample.image),
            *_member(f"{sample.key}.json", sample.meta),
        ]
        size = sum(map(len, parts))
        shard = self._shard
        if shard is not None and (
            shard.samples >= self._samples_per_shard
            or shard.bytes + size + len(END) > self._max_bytes
        ):
            self._end_shard()
            shard = None
        if shard is None:
            shard = self._shard = _OpenShard(self._folder, f"{self._begun:05}.tar")
            self._begun += 1
        self._put(shard, parts, size)
        shard.samples += 1
        return shard.name

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._put(self._shard, [END], len(END))
            self._flush(self._shard)
            shard = self._shard
            self._do(lambda: self.shards.append(shard.finish()))
            self._wait(0)  # a shard's bytes are on the disk before the next one begins
            self._shard = None

    def _put(self, shard: _OpenShard, parts: Sequence[bytes], size: int) -> None:
        """Collect small writes into large ones; what is larger than a buffer goes past it."""
        if self._filled + size > _BUFFER:
            self._flush(shard)
        for part in parts:
            if size > _BUFFER:
                self._do(partial(shard.write, part))
            else:
                self._buffers[0][self._filled : self._filled + len(part)] = part
                self._filled += len(part)
        shard.bytes += size

    def _flush(self, shard: _OpenShard) -> None:
        if self._filled:
            self._do(partial(shard.write, self._buffers[0][: self._filled]))
            self._buffers.append(self._buffers.pop(0))
            self._filled = 0

    def _do(self, job: Callable[[], None]) -> None:
        """Hand a job to the thread; wait while so many are under way that no buffer is free."""
        self._jobs.append(self._thread.submit(job))
        self._wait(_BUFFERS - 1)

    def _wait(self, most: int) -> None:
        while len(self._jobs) > most:
            self._jobs.popleft().result()


def _member(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    return header(name, len(data)), data, padding(len(data))


def read_samples(folder: Root, shards: Iterable[tuple[str, int | None]]) -> Iterator[Sample]:
    """Read the samples of shards in their order; memory stays flat.

    Parameters
    ----------
    folder
        Where the shards are.
    shards
        Name of each and how many samples it must have, None for any number: a tar file that was
        cut off between two members looks like a shorter one.

    Raises
    ------
    StorageError
        If a shard is missing or damaged; names it.
    """
    for name, expected in shards:
        path = folder.join(name)
        found = 0
        try:
            with folder.open(name) as file:
                for sample in _samples_of(file, path):
                    yield sample
                    found += 1
        except tarfile.TarError as error:
            raise StorageError(f"{path} is damaged: {error}; restore it from a copy") from error
        if expected is not None and found != expected:
            raise StorageError(
                f"{path} is damaged: {found} samples, the manifest says {expected}; restore it "
                "from a copy"
            )


def _samples_of(file: IO[bytes], path: str) -> Iterator[Sample]:
    image: tuple[str, str, bytes] | None = None
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                continue
            key, _, extension = member.name.partition(".")
            data = content.read()
            if extension != "json":
                image = (key, extension, data)
                continue
            if image is None or image[0] != key:
                raise StorageError(f"{path} is damaged: {member.name} has no picture before it")
            yield Sample(key, image[1], image[2], data)
            image = None
    if image is not None:
        raise StorageError(f"{path} is damaged: {image[0]} has no JSON after it")
