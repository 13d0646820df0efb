from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.making import key_of, make_index
from training.data.index import IndexPart, SampleIndex, hash_of, join_parts, load_index
from training.errors import ShardError

LABELS = ["shoe", None, "boot", None, "shoe"]
TAGS = [["pov"], [], ["worn", "pov", "worn"], [], ["side"]]


@pytest.fixture
def index() -> SampleIndex:
    return make_index(LABELS, TAGS)


def test_a_sample_is_what_was_put_in(index: SampleIndex) -> None:
    assert len(index) == 5
    assert [index.key(n) for n in range(5)] == [key_of(n) for n in range(5)]
    assert [index.label_of(n) for n in range(5)] == LABELS
    assert [list(index.tags_of(n)) for n in range(5)] == [sorted(set(tags)) for tags in TAGS]
    assert index.labels == ("boot", "shoe")
    assert index.tags == ("pov", "side", "worn")


def test_masks_say_who_has_what(index: SampleIndex) -> None:
    assert index.has_tag("pov").tolist() == [True, False, True, False, False]
    assert index.has_label("shoe").tolist() == [True, False, False, False, True]
    assert not index.has_tag("none").any()
    assert not index.has_label("none").any()


entries = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.none() | st.sampled_from(["a", "b", "c"]),
        st.lists(st.sampled_from(["p", "q", "r"])),
    ),
    min_size=1,
    unique_by=lambda entry: entry[0],
)


@settings(max_examples=50)
@given(entries, st.data())
def test_shards_are_joined_whatever_is_in_them(
    samples: list[tuple[str, str | None, list[str]]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(samples)))
    parts = []
    for group in (samples[:cut], samples[cut:]):
        part = IndexPart()
        for place, (key, label, tags) in enumerate(group):
            part.add(key, place * 512, place, label, tags)
        parts.append(part.packed())
    index = join_parts(["0", "1"], parts)
    assert [
        (index.key(n), index.label_of(n), list(index.tags_of(n))) for n in range(len(index))
    ] == [(key, label, sorted(set(tags))) for key, label, tags in samples]
    assert index.shard.tolist() == [0] * cut + [1] * (len(samples) - cut)
    assert index.find([key for key, _, _ in samples]).tolist() == list(range(len(samples)))
    assert index.twice() is None


def test_what_is_not_there_is_not_found(index: SampleIndex) -> None:
    assert index.find([key_of(3), key_of(0)]).tolist() == [3, 0]
    with pytest.raises(ShardError, match="no picture `nobody`, nor 1 others of 3"):
        index.find([key_of(3), "nobody", "noone"])


def test_a_key_that_is_there_twice_is_seen() -> None:
    part = IndexPart()
    for key in ("a", "b", "a"):
        part.add(key, 0, 1, None, ())
    assert join_parts(["0"], [part.packed()]).twice() == "a"


def test_hashes_never_change() -> None:
    # BLAKE2b of 8 bytes: folds of old runs depend on it.
    assert hash_of("key-000") == 0xFFB09021050BCF0B
    assert hash_of("a") != hash_of("b")


def test_a_sample_takes_what_the_docstring_says() -> None:
    part = IndexPart()
    for number in range(1000):
        part.add(f"{number:064}", 0, 1, "a", ("t",))
    assert join_parts(["0"], [part.packed()]).nbytes == 1000 * (44 + 64 + 4)


def test_it_is_kept_and_read_again(tmp_path: Path, index: SampleIndex) -> None:
    path = tmp_path / "below" / "index.npz"
    index.save(path, "f1")
    found = load_index(path, "f1")
    assert found is not None
    for name, value in vars(index).items():
        assert np.array_equal(getattr(found, name), value), name
    assert load_index(path, "f2") is None
    assert load_index(tmp_path / "none.npz", "f1") is None
    assert [file.name for file in path.parent.iterdir()] == ["index.npz"]


@settings(max_examples=50)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_damaged_one_is_none(
    tmp_path_factory: pytest.TempPathFactory, place: float, change: int
) -> None:
    path = tmp_path_factory.mktemp("damage") / "index.npz"
    index = make_index(LABELS, TAGS)
    index.save(path, "f1")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    found = load_index(path, "f1")
    # Archives have bytes that mean nothing; samples never come out changed.
    assert found is None or all(
        np.array_equal(getattr(found, name), value) for name, value in vars(index).items()
    )
