from __future__ import annotations

import resource
import signal
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog.errors import CatalogError, StorageError
from data_catalog.packs import PackRef, PackStore
from data_catalog.storage import Root
from tests.data_catalog.conftest import PROCESSES

MEMBERS = [
    ("a" * 64, b"first"),
    ("n\u00e4me", b""),
    ("long/" * 60 + "x", b"x" * 1500),
    ("a" * 64, b"2"),
]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PackStore:
    memory = f"memory://{tmp_path.name}"
    return PackStore(Root(tmp_path / "raw" if request.param == "local" else memory))


def test_what_was_added_is_read_back(store: PackStore) -> None:
    with store.writer() as writer:
        refs = [writer.add(name, data) for name, data in MEMBERS]
        assert store.packs() == []
    assert store.packs() == [refs[0].pack]
    assert [store.read(ref) for ref in refs] == [data for _, data in MEMBERS]
    mixed = refs * 40
    assert list(store.read_many(reversed(mixed))) == [data for _, data in MEMBERS * 40][::-1]
    store.remove(refs[0].pack)
    assert store.packs() == []


def test_packs_are_plain_tar_files_of_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("x", "y"):
        store = PackStore(Root(tmp_path / name))
        with store.writer() as writer:
            refs = [writer.add(*member) for member in MEMBERS]
        path = tmp_path / name / store.packs()[0]
        contents.append(path.read_bytes())
        with tarfile.open(path) as tar:
            found = tar.getmembers()
        assert [(m.name, m.size, m.mtime) for m in found] == [(n, len(d), 0) for n, d in MEMBERS]
        assert [m.offset_data for m in found] == [ref.offset for ref in refs]
    assert contents[0] == contents[1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.text("ab\u00e9/", min_size=1, max_size=150), st.binary(max_size=2000)))
)
def test_any_members_survive(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]
) -> None:
    store = PackStore(Root(tmp_path_factory.mktemp("packs")))
    with store.writer() as writer:
        refs = [writer.add(*member) for member in members]
    assert list(store.read_many(refs)) == [data for _, data in members]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=60_000), min_size=1, max_size=12),
    st.lists(st.integers(0, 11), max_size=30),
)
def test_neighbours_that_are_read_at_once_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory, members: list[bytes], order: list[int]
) -> None:
    store = PackStore(Root(f"memory://{tmp_path_factory.mktemp('packs').name}"))
    with store.writer() as writer:
        refs = [writer.add("x", data) for data in members]
    wanted = [number % len(members) for number in [*range(len(members)), *order]]
    found = list(store.read_many(refs[number] for number in wanted))
    assert found == [members[number] for number in wanted]


def test_neighbours_take_one_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = PackStore(Root(f"memory://{tmp_path.name}"))
    with store.writer() as writer:
        refs = [writer.add("x", bytes([n]) * 200_000) for n in range(10)]
    requests: list[int] = []
    read = store.root.fs.cat_file

    def counted(path: str, start: int, end: int) -> bytes:
        requests.append(end - start)
        return bytes(read(path, start=start, end=end))

    monkeypatch.setattr(store.root.fs, "cat_file", counted)
    assert [data[0] for data in store.read_many(refs)] == list(range(10))
    assert len(requests) == 2  # a mebibyte each at most
    assert max(requests) <= 1 << 20


def test_full_by_items_and_by_bytes(store: PackStore) -> None:
    with store.writer(max_items=2) as writer:
        assert not writer.full
        writer.add("a", b"")
        assert not writer.full
        writer.add("b", b"")
        assert writer.full
    with store.writer(max_bytes=1000) as writer:
        writer.add("a", b"x" * 600)
        assert writer.full


def test_an_empty_writer_leaves_nothing(tmp_path: Path) -> None:
    store = PackStore(Root(tmp_path / "raw"))
    with store.writer():
        pass
    store.writer().close()
    assert not (tmp_path / "raw").exists()


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    store = PackStore(Root(tmp_path / "raw"))
    with pytest.raises(KeyError), store.writer() as writer:
        writer.add("a", b"1")
        raise KeyError
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_sealed_pack_takes_no_more(store: PackStore) -> None:
    writer = store.writer()
    writer.add("a", b"1")
    writer.close()
    writer.close()
    with pytest.raises(CatalogError, match="is sealed"):
        writer.add("b", b"2")


def test_missing_and_short_packs_are_named(store: PackStore) -> None:
    with store.writer() as writer:
        ref = writer.add("a", b"1")
    with pytest.raises(StorageError, match=r"no\.tar: .*missing"):
        store.read(PackRef("no.tar", 0, 1))
    with pytest.raises(StorageError, match=f"{ref.pack} is damaged: 9999 bytes wanted"):
        store.read(PackRef(ref.pack, ref.offset, 9999))


def test_more_packs_than_files_may_stay_open(tmp_path: Path) -> None:
    store = PackStore(Root(tmp_path))
    refs = []
    for number in range(70):
        with store.writer() as writer:
            refs.append(writer.add("a", str(number).encode()))
    assert [int(data) for data in store.read_many(refs + refs)] == [*range(70), *range(70)]


def _fill_the_disk(folder: str, out: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        with PackStore(Root(folder)).writer() as writer:
            for _ in range(100):
                writer.add("a", b"x" * 50_000)
        said = "no error"
    except StorageError as error:
        said = str(error)
    Path(out).write_text(said)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "raw", tmp_path / "said"
    process = PROCESSES.Process(target=_fill_the_disk, args=(str(folder), str(out)))
    process.start()
    process.join()
    assert out.read_text().startswith(f"{folder}/pack-")
    assert "File too large" in out.read_text()
    assert list(folder.iterdir()) == []
