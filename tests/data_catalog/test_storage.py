from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest

from data_catalog.errors import StorageError
from data_catalog.storage import Root, storage_error


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    if request.param == "local":
        return Root(tmp_path / "a folder#1")
    return Root(f"memory://{tmp_path.name}")


def test_write_read_list_move_remove(root: Root) -> None:
    assert not root.exists()
    assert root.ls() == []
    root.write_bytes("x/b.bin", b"1")
    root.write_bytes("x/a.bin", b"22")
    root.write_bytes("x/a.bin", b"333")
    assert root.ls() == ["x"]
    assert root.ls("x") == ["a.bin", "b.bin"]
    assert (root.is_folder("x"), root.is_folder("x/a.bin")) == (True, False)
    assert (root.read_bytes("x/a.bin"), root.size("x/a.bin")) == (b"333", 3)
    with root.open("x/b.bin") as file:
        assert file.read() == b"1"
    root.move("x/a.bin", "y/c.bin")
    assert sorted(root.walk()) == ["x/b.bin", "y/c.bin"]
    root.move("x", "z")
    assert sorted(root.walk()) == ["y/c.bin", "z/b.bin"]
    root.remove("y")
    root.remove("y")
    root.remove("z/b.bin")
    assert list(root.walk()) == []


def test_an_address_is_a_path_or_a_url(root: Root) -> None:
    root.write_bytes("x/a", b"1")
    address = root.address("x/a")
    assert address == f"{root.url}/x/a"
    assert address.startswith("/" if root.is_local else "memory://")


def test_child_and_pickled_copies_mean_the_same_folder(root: Root) -> None:
    root.child("x", "y").write_bytes("a", b"1")
    assert root.read_bytes("x/y/a") == b"1"
    copy = pickle.loads(pickle.dumps(root.child("x")))
    assert (copy.url, copy.read_bytes("y/a")) == (root.child("x").url, b"1")


def test_a_missing_file_is_named(root: Root) -> None:
    for read in (root.read_bytes, root.size, root.open):
        with pytest.raises(StorageError, match=r"nowhere/a: .*is it|nowhere/a: .*missing"):
            read("nowhere/a")


def test_a_failed_write_leaves_the_old_bytes_and_no_temporary(tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.write_bytes("a", b"old")
    with pytest.raises(TypeError):
        root.write_bytes("a", "not bytes")  # type: ignore[arg-type]
    assert root.ls() == ["a"]
    assert root.read_bytes("a") == b"old"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "nonesuch gc"),
        (errno.EROFS, "mount it writable"),
        (errno.EACCES, "give this user the right"),
    ],
)
def test_errors_name_path_and_remedy(number: int, remedy: str) -> None:
    error = storage_error("/data/x", OSError(number, "no"))
    assert re.match(f"/data/x: no; .*{remedy}", str(error))


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a part of the path is a file"):
        Root(tmp_path / "file" / "root").write_bytes("a", b"1")
