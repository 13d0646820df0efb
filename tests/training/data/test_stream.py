from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.making import (
    encoded,
    make_version,
    pixels_of,
    sample,
    tar_of,
    write_version,
)
from training.config import DataConfig
from training.data.check import check
from training.data.reader import PictureReader
from training.data.select import Selection, select
from training.data.stream import Batch, Stream, pictures
from training.errors import SetupError, ShardError
from training.shards import PublishedVersion

COUNT = 11
LABELS = ["shoe", "boot", None]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> PublishedVersion:
    folder = tmp_path_factory.mktemp("version") / "1"
    return PublishedVersion(make_version(folder, COUNT, per_shard=4, labels=LABELS))


@pytest.fixture(scope="module")
def selection(version: PublishedVersion) -> Selection:
    return select(check(version, processes=1), DataConfig(conditional=True))


def batches(
    version: PublishedVersion, selection: Selection, count: int, **options: Any
) -> list[Batch]:
    with Stream(version, selection, **{"batch": 4} | options) as stream:
        return list(islice(stream, count))


def numbers(batch: Batch) -> list[int]:
    """Which pictures are in a batch, by their pixels."""
    known = {pixels_of(n).tobytes(): n for n in range(COUNT)}
    return [known[image.permute(1, 2, 0).numpy().tobytes()] for image in batch.pixels]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.pixels, b.pixels)
        and a.labels is not None
        and b.labels is not None
        and torch.equal(a.labels, b.labels)
        for a, b in zip(first, second, strict=True)
    )


def test_batches_are_what_they_are_said_to_be(
    version: PublishedVersion, selection: Selection
) -> None:
    (batch,) = batches(version, selection, 1)
    assert batch.pixels.dtype == torch.uint8 and batch.pixels.shape == (4, 3, 16, 12)
    assert batch.pixels.is_contiguous()
    assert batch.labels is not None and batch.labels.dtype == torch.int64
    classes = ["boot", "shoe", "unlabelled"]
    expected = [LABELS[n % 3] or "unlabelled" for n in numbers(batch)]
    assert [classes[label] for label in batch.labels.tolist()] == expected


def test_labels_are_none_where_training_takes_none(version: PublishedVersion) -> None:
    chosen = select(check(version, processes=1), DataConfig())
    (batch,) = batches(version, chosen, 1)
    assert batch.labels is None


def test_an_epoch_has_every_picture_once(version: PublishedVersion, selection: Selection) -> None:
    found = [n for batch in batches(version, selection, 2 * COUNT) for n in numbers(batch)]
    for epoch in range(8):
        assert sorted(found[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT))


def test_only_what_was_selected_comes(version: PublishedVersion) -> None:
    chosen = select(check(version, processes=1), DataConfig(labels=("boot",)))
    found = {n for batch in batches(version, chosen, 5) for n in numbers(batch)}
    assert found == {1, 4, 7, 10}


def test_a_set_smaller_than_the_batch_goes_round(version: PublishedVersion) -> None:
    chosen = select(check(version, processes=1), DataConfig(labels=("boot",)))
    (batch,) = batches(version, chosen, 1, batch=12)
    assert sorted(numbers(batch)) == sorted([1, 4, 7, 10] * 3)


@settings(max_examples=15)
@given(st.integers(0, 30), st.integers(1, 12), st.integers(0, 5))
def test_any_start_gives_what_would_have_come(
    version: PublishedVersion, selection: Selection, start: int, batch: int, seed: int
) -> None:
    options = {"batch": batch, "seed": seed, "mirror": True}
    whole = batches(version, selection, start + 2, **options)
    assert same(batches(version, selection, 2, start_step=start, **options), whole[start:])


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(1, 3))
def test_processes_together_have_the_batch_of_one(
    version: PublishedVersion, selection: Selection, world: int, each: int
) -> None:
    options = {"batch": world * each, "mirror": True}
    whole = batches(version, selection, 3, **options)
    parts = [
        batches(version, selection, 3, rank=rank, world=world, **options) for rank in range(world)
    ]
    for step, batch in enumerate(whole):
        for rank in range(world):
            assert torch.equal(parts[rank][step].pixels, batch.pixels[rank::world])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(
    version: PublishedVersion, selection: Selection, workers: int
) -> None:
    options = {"seed": 4, "mirror": True, "start_step": 2}
    here = batches(version, selection, 9, **options)
    assert same(batches(version, selection, 9, workers=workers, **options), here)


def test_two_streams_at_a_time_do_not_disturb_each_other(
    version: PublishedVersion, selection: Selection
) -> None:
    alone = batches(version, selection, 4)
    with (
        Stream(version, selection, batch=4, workers=1) as first,
        Stream(version, selection, batch=4) as second,
    ):
        pairs = list(islice(zip(first, second, strict=False), 4))
    assert same([a for a, _ in pairs], alone) and same([b for _, b in pairs], alone)


def test_mirroring_turns_left_and_right(version: PublishedVersion, selection: Selection) -> None:
    plain = batches(version, selection, 6)
    turned = batches(version, selection, 6, mirror=True)
    seen = set()
    for a, b in zip(plain, turned, strict=True):
        for one, other in zip(a.pixels, b.pixels, strict=True):
            mirrored = not torch.equal(one, other)
            seen.add(mirrored)
            assert torch.equal(one.flip(-1) if mirrored else one, other)
    assert seen == {True, False}


def test_an_inverted_version_comes_inverted(tmp_path: Path) -> None:
    version = PublishedVersion(make_version(tmp_path / "1", 1, inverted=True))
    chosen = select(check(version, processes=1), DataConfig())
    (batch,) = batches(version, chosen, 1, batch=1)
    assert np.array_equal(batch.pixels[0].permute(1, 2, 0).numpy(), 255 - pixels_of(0))


def test_nobodys_random_numbers_are_drawn(version: PublishedVersion, selection: Selection) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batches(version, selection, 3, workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_step_is_that_of_the_next_batch(
    version: PublishedVersion, selection: Selection
) -> None:
    with Stream(version, selection, batch=4, workers=2, start_step=5) as stream:
        assert stream.step == 5
        next(stream)
        assert stream.step == 6


# ---- What goes wrong. ------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[PublishedVersion, Selection]:
    """A version in which a picture's pixels are damaged, but not its header."""
    whole = encoded(pixels_of(2))
    files = [*sample(0), *sample(1, image=whole[: len(whole) // 2])]
    version = PublishedVersion(write_version(tmp_path / "1", [(tar_of(files), 2)]))
    return version, select(check(version, processes=1), DataConfig())


def _children() -> list[Any]:
    """Give the processes that decode; pools of other tests may be there as well."""
    return [child for child in multiprocessing.active_children() if child.daemon]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_cannot_be_decoded_is_named(
    damaged: tuple[PublishedVersion, Selection], workers: int
) -> None:
    with pytest.raises(ShardError) as caught:
        batches(*damaged, 2, batch=1, workers=workers)
    said = str(caught.value)
    assert "00000.tar: key-001 cannot be decoded" in said and "copy this shard again" in said
    assert "Traceback" not in said and "\n" not in said
    assert not _children()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["truncate", "unlink"])
def test_a_shard_that_changes_under_way_is_named(tmp_path: Path, workers: int, change: str) -> None:
    version = PublishedVersion(make_version(tmp_path / "1", 4))
    chosen = select(check(version, processes=1), DataConfig())
    if change == "unlink":
        version.shards[0].unlink()
    else:
        os.truncate(version.shards[0], 600)
    with pytest.raises(ShardError, match=r"00000\.tar"):
        batches(version, chosen, 4, workers=workers)


def test_a_batch_that_cannot_be_divided_is_refused(
    version: PublishedVersion, selection: Selection
) -> None:
    with pytest.raises(SetupError, match="multiple of the 3 processes, got 8; use 6"):
        Stream(version, selection, batch=8, world=3)
    with pytest.raises(SetupError, match="multiple of the 3 processes, got 2; use 3"):
        Stream(version, selection, batch=2, world=3)


@pytest.fixture
def stream(version: PublishedVersion, selection: Selection) -> Iterator[Stream]:
    with Stream(version, selection, batch=4, workers=2) as found:
        yield found


def test_closing_ends_the_processes(stream: Stream) -> None:
    next(stream)
    assert len(_children()) == 2
    stream.close()
    assert not _children()
    assert list(stream) == []
    stream.close()


def test_signals_to_the_whole_group_leave_the_workers_alone(stream: Stream) -> None:
    next(stream)
    for child in _children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGTERM)
        os.kill(child.pid, signal.SIGINT)
    assert len(list(islice(stream, 10))) == 10


@pytest.mark.parametrize("waiting", [True, False])
def test_a_worker_that_is_killed_is_an_error_with_a_remedy(
    version: PublishedVersion, selection: Selection, *, waiting: bool
) -> None:
    with (
        pytest.raises(SetupError, match=r"was killed, .* lower `data\.workers`"),
        Stream(version, selection, batch=4, workers=2) as stream,
    ):
        next(stream)
        child = _children()[0]
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        if waiting:
            list(islice(stream, 1000))
        else:
            time.sleep(30)  # torch says so in the middle of whatever is being done
    assert stream.step < 1000


# ---- Pictures in a given order. ----------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_come_as_they_are_asked_for(version: PublishedVersion, workers: int) -> None:
    index = check(version, processes=1)
    wanted = index.find(["key-007", "key-002", "key-009", "key-002", "key-000"])
    found = list(pictures(version, index, wanted, batch=2, workers=workers))
    assert [len(batch) for batch in found] == [2, 2, 1]
    assert [n for batch in found for n in numbers(Batch(batch, None))] == [7, 2, 9, 2, 0]
    assert [index.key(int(n)) for n in wanted[:2]] == ["key-007", "key-002"]


def test_no_pictures_are_no_batches(version: PublishedVersion) -> None:
    assert list(pictures(version, check(version, processes=1), np.array([], np.int64))) == []


def test_pictures_that_nobody_takes_to_the_end_leave_no_process(version: PublishedVersion) -> None:
    found = pictures(version, check(version, processes=1), np.arange(COUNT), batch=1, workers=2)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert not _children()


def test_a_picture_that_cannot_be_decoded_is_named_by_pictures(
    damaged: tuple[PublishedVersion, Selection],
) -> None:
    version, chosen = damaged
    with pytest.raises(ShardError, match="key-001 cannot be decoded"):
        list(pictures(version, chosen.index, chosen.indices))


def test_a_reader_can_be_sent_to_another_process(version: PublishedVersion) -> None:
    reader = PictureReader(version, check(version, processes=1))
    before = reader.read([3, 8])
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.read([3, 8]), before)
    reader.close()
    assert np.array_equal(reader.read([3, 8]), before)


def test_more_shards_than_files_that_may_be_open(tmp_path: Path) -> None:
    version = PublishedVersion(make_version(tmp_path / "1", 300, per_shard=1))
    reader = PictureReader(version, check(version, processes=1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        found = reader.read(np.arange(300))
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 256
    assert all(np.array_equal(found[n].transpose(1, 2, 0), pixels_of(n)) for n in (0, 150, 299))
