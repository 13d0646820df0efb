"""The stream of batches that training takes: decoded by processes beside it, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from training.data.index import SampleIndex
from training.data.order import Order, positions_of
from training.data.processes import forking, leave_signals_to_parent
from training.data.reader import PictureReader
from training.data.select import Selection
from training.errors import SetupError, ShardError
from training.shards import PublishedVersion

_AHEAD: Final = 2  # batches that each process decodes ahead
_KILLED: Final = (
    "a process that decodes pictures was killed, likely for want of memory; lower `data.workers`, "
    "free some, or give a container more shared memory (`--shm-size`)"
)

_Wanted = tuple[NDArray[np.int64], NDArray[np.bool_]]


class Batch(NamedTuple):
    """Pictures to train on.

    Attributes
    ----------
    pixels : Tensor of shape (n, 3, H, W), uint8
        Inverted where the manifest says so.
    labels : Tensor of shape (n,), int64, or None
        Classes, where training takes labels.
    """

    pixels: torch.Tensor
    labels: torch.Tensor | None


class _Pictures(Dataset["Batch | str"]):
    """Whole batches, each by the numbers of its samples; runs in the processes that decode."""

    def __init__(self, reader: PictureReader, labels: NDArray[np.int64] | None) -> None:
        self._reader = reader
        self._indices: NDArray[np.int64] | None = None
        self._labels = labels

    @classmethod
    def of_selection(cls, version: PublishedVersion, selection: Selection) -> Self:
        pictures = cls(PictureReader(version, selection.index), selection.labels)
        pictures._indices = selection.indices
        return pictures

    def __getitem__(self, wanted: _Wanted) -> Batch | str:
        rows, mirrored = wanted
        numbers = rows if self._indices is None else self._indices[rows]
        try:
            pixels = self._reader.read(numbers, mirrored.tolist())
        except ShardError as error:
            return str(error)  # raised where training is, without the traceback of another process
        labels = None if self._labels is None else torch.from_numpy(self._labels[rows])
        return Batch(torch.from_numpy(pixels), labels)


class _Steps(Sampler[_Wanted]):
    """What is wanted, step after step."""

    def __init__(self, wanted: Iterable[_Wanted]) -> None:
        self._wanted = wanted

    def __iter__(self) -> Iterator[_Wanted]:
        return iter(self._wanted)


class Stream(Iterator[Batch]):
    """Batches without end, as a pure function of the seed and the step.

    Position k of the order is in epoch k // n, each of which is a permutation of the selection.
    Step s takes the positions from s·`batch` to (s + 1)·`batch`, and a process every `world`-th of
    them. Neither `workers` nor where it is started has any influence on what comes.

    Parameters
    ----------
    version
        Its shards are read.
    selection
        Of its samples, by `training.data.select.select`.
    batch
        Pictures of a step, over all processes.
    rank, world
        Which process this is, and of how many.
    seed
        Of the order and of mirroring, >= 0.
    mirror
        Mirror every picture half of the time.
    workers
        Processes that decode; 0: this one does.
    start_step
        Step to begin with.
    pin_memory
        Put batches where a GPU copies from without waiting; nothing without CUDA.

    Raises
    ------
    SetupError
        If `batch` cannot be divided among the processes, or one that decodes was killed.
    ShardError
        By `next`, if a picture cannot be read or decoded; its shard and key are named.
    """

    def __init__(
        self,
        version: PublishedVersion,
        selection: Selection,
        *,
        batch: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        mirror: bool = False,
        workers: int = 0,
        start_step: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if batch < 1 or batch % world:
            raise SetupError(
                f"`optimizer.batch` must be a multiple of the {world} processes, got {batch}; use "
                f"{max(world, batch - batch % world)}"
            )
        if not 0 <= rank < world:
            raise ValueError(f"`rank` must be in [0, world), got {rank=}, {world=}")
        self.step = start_step
        """Step that the next batch is of."""
        order = Order(len(selection), seed=seed, mirror=mirror)
        steps = _wanted(order, batch=batch, rank=rank, world=world, start=start_step)
        self._batches: Iterator[Batch | str] | None = _decoding(
            _Pictures.of_selection(version, selection), steps, workers, pin_memory=pin_memory
        )

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            raise StopIteration
        try:
            batch = _or_raise(self._batches)
        except BaseException:
            self.close()
            raise
        self.step += 1
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, RuntimeError) and _tells_of_killed(error):
            raise SetupError(_KILLED) from error

    def close(self) -> None:
        """End the processes that decode; nothing comes any more."""
        batches, self._batches = self._batches, None
        _end(batches)


def pictures(
    version: PublishedVersion,
    index: SampleIndex,
    indices: NDArray[np.int64],
    *,
    batch: int = 64,
    workers: int = 0,
) -> Iterator[torch.Tensor]:
    """Decode given samples in the given order, once.

    Parameters
    ----------
    version
        Its shards are read.
    index
        Of its samples.
    indices : ndarray of shape (n,), int64
        Numbers of samples; `SampleIndex.find` gives them for keys.
    batch
        How many at a time; the last may be fewer.
    workers
        Processes that decode; 0: this one does.

    Yields
    ------
    Tensor of shape (m, 3, H, W), uint8
        Inverted where the manifest says so, never mirrored.

    Raises
    ------
    ShardError
        If one cannot be read or decoded; its shard and key are named.
    """
    starts = range(0, len(indices), batch)
    chunks = (indices[start : start + batch] for start in starts)
    wanted = ((chunk, np.zeros(len(chunk), np.bool_)) for chunk in chunks)
    reader = PictureReader(version, index)
    batches = _decoding(_Pictures(reader, None), wanted, workers, pin_memory=False)
    try:
        # Counted: how the processes end after the last picture is of no interest.
        for _ in starts:
            yield _or_raise(batches).pixels
    finally:
        _end(batches)


def _wanted(order: Order, *, batch: int, rank: int, world: int, start: int) -> Iterator[_Wanted]:
    step = start
    while True:
        yield order.at(positions_of(step, batch=batch, rank=rank, world=world))
        step += 1


def _decoding(
    dataset: _Pictures, wanted: Iterable[_Wanted], workers: int, *, pin_memory: bool
) -> Iterator[Batch | str]:
    options: dict[str, Any] = {}
    if workers:
        options = {
            "prefetch_factor": _AHEAD,
            "multiprocessing_context": "fork",
            "worker_init_fn": _begin_worker,
        }
    with forking():
        loader: DataLoader[Batch | str] = DataLoader(
            dataset,
            batch_size=None,  # the sampler gives whole batches
            sampler=_Steps(wanted),
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory and torch.cuda.is_available(),
            generator=torch.Generator(),  # it draws a seed, and must not draw it from ours
            **options,
        )
        return iter(loader)


def _as_it_is(found: Any) -> Any:
    return found


def _begin_worker(number: int) -> None:
    leave_signals_to_parent()
    torch.set_num_threads(1)


def _or_raise(batches: Iterator[Batch | str]) -> Batch:
    try:
        found = next(batches)
    except (ConnectionError, EOFError) as error:  # killed while it handed over what it had decoded
        raise SetupError(_KILLED) from error
    except RuntimeError as error:
        if _tells_of_killed(error):
            raise SetupError(_KILLED) from error
        raise
    if isinstance(found, str):
        raise ShardError(found)
    return found


def _tells_of_killed(error: RuntimeError) -> bool:
    """Tell whether torch says that a worker was killed: wherever we are at that moment."""
    return "DataLoader worker" in str(error)


def _end(batches: Iterator[Batch | str] | None) -> None:
    """End the processes now, not when the last traceback that holds them is gone."""
    if (end := getattr(batches, "_shutdown_workers", None)) is None:
        return
    try:
        end()
    except RuntimeError as error:  # told again of one that was killed: the others end all the same
        if not _tells_of_killed(error):
            raise
