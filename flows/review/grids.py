"""Grids of trainings as the review page gives them: encoded anew, found by their ids."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from curation.recipe import Limits
from flows.review.aside import Aside
from flows.review.trainings import SAMPLES, find
from flows.settings import DatasetConfig
from review_ui.errors import NotFoundError
from review_ui.loop import Size

# Bytes, limits and the longest side in px; gives a JPEG.
Render = Aside[tuple[bytes, Limits, int], bytes]

_SIDES: Final[Mapping[Size, int]] = {"small": 640, "large": 2_560}  # px
_KEPT_BYTES: Final = 48 << 20


class Grids:
    """Gives grids as JPEG of the size that is shown; each is encoded once.

    Parameters
    ----------
    render
        Decodes pictures and encodes them anew, in a process that may die of it.
    """

    def __init__(self, config: DatasetConfig, render: Render) -> None:
        self._config, self._render = config, render
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, Size], bytes] = OrderedDict()
        self._under_way: dict[tuple[str, int, Size], Future[bytes]] = {}

    def get(self, run: str, grid: str, size: Size) -> bytes:
        """Give a grid; those who ask for the same at once wait for one encoding.

        Raises
        ------
        NotFoundError
            If there is no such run or grid, or it is no picture.
        """
        path = self._place(run, grid)
        try:
            key = (str(path), path.stat().st_mtime_ns, size)
        except OSError as error:
            raise NotFoundError(f"grid {grid[:80]} of {run[:80]} is gone") from error
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
            coming = self._under_way.get(key)
            mine = None if coming is not None else Future[bytes]()
            if mine is not None:
                self._under_way[key] = mine
        if mine is None:
            assert coming is not None
            return coming.result()
        return self._make(key, path, mine)

    def _make(self, key: tuple[str, int, Size], path: Path, out: Future[bytes]) -> bytes:
        try:
            data = self._encode(path, key[2])
        except Exception as error:
            out.set_exception(error)
            raise
        else:
            out.set_result(data)
        finally:
            with self._lock:
                del self._under_way[key]
        with self._lock:
            self._kept[key] = data
            while sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return data

    def _encode(self, path: Path, size: Size) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise NotFoundError(f"{path.name} cannot be read: {error.strerror}") from error
        found = self._render((data, self._config.limits, _SIDES[size]))
        if isinstance(found, str):
            raise NotFoundError(f"grid {path.stem} cannot be shown: {found}")
        return found

    def _place(self, run: str, grid: str) -> Path:
        """Find the file of a grid among those there are: no part of its path is from outside."""
        folder = Path(find(self._config, run).path) / SAMPLES
        for path in folder.glob("*.png"):
            if path.stem == grid and path.is_file() and not path.is_symlink():
                return path
        raise NotFoundError(f"run {run[:80]} has no grid {grid[:80]}")
