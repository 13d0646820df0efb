from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import ConflictError, StorageError
from tests.data_catalog.conftest import PROCESSES


def _hold(root: str, pipe: Connection, fork: bool) -> None:
    with Catalog(root).lock("rebuild of shoes"):
        runs, tells = os.pipe()
        child = os.fork() if fork else os.getpid()
        if child == 0:
            os.write(tells, b"!")
            time.sleep(60)
            os._exit(0)
        if fork:
            os.read(runs, 1)  # by now it has let go of what it inherited
        pipe.send(child)
        time.sleep(60)


@pytest.mark.parametrize("fork", [False, True])
def test_the_second_is_told_who_holds_it_and_death_frees_it(tmp_path: Path, fork: bool) -> None:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_hold, args=(str(tmp_path), theirs, fork))
    process.start()
    child = ours.recv()
    try:
        said = f"process {process.pid} holds it for 'rebuild of shoes' since 20"
        with pytest.raises(ConflictError, match=said), Catalog(tmp_path).lock("gc"):
            pass
        process.kill()
        process.join()
        with Catalog(tmp_path).lock("gc"):  # even while a forked worker of the dead lives on
            pass
    finally:
        process.kill()
        if fork:
            os.kill(child, signal.SIGKILL)


def test_a_stage_may_take_the_lock_of_its_own_run(tmp_path: Path) -> None:
    with Catalog(tmp_path).lock("rebuild"):
        with Catalog(tmp_path).lock("publish"):
            pass
        with Catalog(tmp_path).lock("gc"), Catalog(tmp_path / "other").lock("gc"):
            pass
    with Catalog(tmp_path).lock("rebuild"):
        pass


def test_another_thread_is_another_writer(tmp_path: Path) -> None:
    said: list[str] = []

    def try_it() -> None:
        try:
            with Catalog(tmp_path).lock("publish"):
                said.append("got it")
        except ConflictError as error:
            said.append(str(error))

    with Catalog(tmp_path).lock("rebuild"):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} holds it for 'rebuild'" in said[0]


def test_an_exception_frees_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Catalog(tmp_path).lock("a"):
        raise KeyError
    with Catalog(tmp_path).lock("b"):
        pass


def test_object_stores_have_none(tmp_path: Path) -> None:
    with Catalog(f"memory://{tmp_path.name}").lock("a"):
        pass


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="set `root` to another folder"),
        Catalog(tmp_path / "file" / "root").lock("a"),
    ):
        pass
