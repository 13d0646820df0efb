"""Saves that are cut short: by SIGKILL at random, by the kernel in mid-file, by a full disk.

Each saves in a process that is forked, so that torch need not be imported again. A forked process
must not use torch's threads, for which it would wait for ever: numpy fills in the numbers there.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from training.errors import SnapshotError
from training.runs.snapshots import Snapshot, find, name_of, names, newest, save

LENGTH = 200_000  # numbers in each tensor: 0.8 MB
TENSORS = ("G.a", "D.a", "G_opt.a")  # so 1.6 MB of weights and a header

_NEWNS, _NEWUSER = 0x00020000, 0x10000000


def example(number: int) -> Snapshot:
    tensors = {name: torch.from_numpy(np.full(LENGTH, number, np.float32)) for name in TENSORS}
    return Snapshot(tensors, {"cur_nimg": number})


def save_number(folder: Path, number: int) -> None:
    save(folder, name_of(number), example(number))


def newest_number(folder: Path) -> int:
    """Number of the newest snapshot, which must be whole, as must be all that are newer."""
    snapshot, damage = newest(folder)
    assert damage == []
    assert snapshot is not None
    number = int(snapshot.values["cur_nimg"])
    assert set(snapshot.tensors) == set(TENSORS)
    for tensor in snapshot.tensors.values():
        assert np.array_equal(tensor.numpy(), np.full(LENGTH, number, np.float32))
    return number


def fork(body: Callable[[], None]) -> int:
    """Run a body in a process of its own; what it raises ends it with exit code 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside torch's threads
        child = os.fork()
    if child:
        return child
    try:
        body()
        os._exit(0)
    finally:
        os._exit(1)


def exit_code(child: int) -> int:
    """Wait for a process; minus the signal if one has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(5)
    last = 1
    save_number(tmp_path, last)

    def save_for_ever() -> None:
        number = last
        while True:
            number += 1
            save_number(tmp_path, number)

    for _ in range(16):
        child = fork(save_for_ever)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        assert exit_code(child) == -signal.SIGKILL
        reached = newest_number(tmp_path)
        assert reached >= last
        last = reached
    save_number(tmp_path, last + 1)
    assert not list(tmp_path.glob(".tmp-*"))
    assert names(tmp_path) == [name_of(number) for number in range(1, last + 2)]


@pytest.mark.parametrize("limit", [0, 1, 4096, 1_000_000, 1_600_000])
def test_killed_in_the_middle_of_a_file(tmp_path: Path, limit: int) -> None:
    save_number(tmp_path, 1)

    def save_up_to_the_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        save_number(tmp_path, 2)

    assert exit_code(fork(save_up_to_the_limit)) == -signal.SIGXFSZ
    assert [path.name for path in tmp_path.glob(".*")] == [f".tmp-{name_of(2)}"]
    assert newest_number(tmp_path) == 1
    save_number(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name_of(1), name_of(3)]


def message_of(folder: Path, number: int, answer: Path) -> None:
    try:
        save_number(folder, number)
    except SnapshotError as error:
        answer.write_text(str(error))


def test_refused_in_the_middle_of_a_file(tmp_path: Path) -> None:
    folder, answer = tmp_path / "snapshots", tmp_path / "answer"
    save_number(folder, 1)

    def save_up_to_the_limit() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        message_of(folder, 2, answer)

    assert exit_code(fork(save_up_to_the_limit)) == 0
    assert answer.read_text().startswith("File too large: snapshot kimg-000000.002 needs 2.4 MB in")
    assert [path.name for path in folder.iterdir()] == [name_of(1)]
    assert newest_number(folder) == 1


def mount_small_disk(folder: Path, options: str) -> bool:
    """Mount a disk in memory that only this process sees; False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEWUSER | _NEWNS):
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError:
        return False
    return not libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, options.encode())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # Room for one: the second is refused before a byte is written.
        ("size=5m", "snapshot kimg-000000.002 needs 3.4 MB in"),
        # Room for the bytes and not for the files: found out while writing.
        ("size=60m,nr_inodes=8", "No space left on device: snapshot kimg-000000.002 needs 2.4 MB"),
    ],
)
def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path, options: str, message: str) -> None:
    folder, answer = tmp_path / "disk", tmp_path / "answer"
    folder.mkdir()

    def save_until_full() -> None:
        if not mount_small_disk(folder, options):
            os._exit(77)
        save_number(folder, 1)
        message_of(folder, 2, answer)
        assert [path.name for path in folder.iterdir()] == [name_of(1)]
        assert find(folder) == folder / name_of(1)  # reads every byte, and makes no tensor

    code = exit_code(fork(save_until_full))
    if code == 77:
        pytest.skip("this machine lets nobody mount a small disk")
    assert code == 0
    assert message in answer.read_text()
    assert "MB are free; make room" in answer.read_text()
