"""Reading pictures of a version one by one, from wherever they lie in its shards."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.data.index import SampleIndex
from training.data.pictures import PictureError, Pixels, decode_into
from training.errors import ShardError
from training.shards import PublishedVersion

_OPEN_FILES: Final = 256  # at once: well below what systems let a process have


class PictureReader:
    """Decodes samples by their numbers in the index.

    A copy in another process opens files of its own.

    Parameters
    ----------
    version
        Where the shards lie, and whether pictures are inverted.
    index
        Where samples lie in them, by `training.data.check.check`.
    """

    def __init__(self, version: PublishedVersion, index: SampleIndex) -> None:
        self.index = index
        self.shape = version.shape
        self.inverted = version.inverted
        self._paths = list(version.shards)
        self._files = _OpenFiles()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": _OpenFiles()}

    def read(
        self, indices: NDArray[np.int64] | Sequence[int], mirrored: Sequence[bool] | None = None
    ) -> Pixels:
        """Decode samples.

        Parameters
        ----------
        indices : of shape (n,)
            Numbers of samples; `SampleIndex.find` gives them for keys.
        mirrored : of shape (n,), optional
            Which to mirror.

        Returns
        -------
        ndarray of shape (n, 3, H, W), uint8
            Inverted where the manifest says so.

        Raises
        ------
        ShardError
            If one cannot be read or decoded; its shard and key are named.
        """
        flags = [False] * len(indices) if mirrored is None else mirrored
        pixels = np.empty((len(indices), 3, *self.shape), np.uint8)
        for number, flag, planes in zip(indices, flags, pixels, strict=True):
            self._read_into(int(number), bool(flag), planes)
        return pixels

    def _read_into(self, number: int, mirrored: bool, out: Pixels) -> None:
        path = self._paths[self.index.shard[number]]
        try:
            data = self._files.read(
                path, int(self.index.offset[number]), int(self.index.length[number])
            )
            decode_into(data, out, inverted=self.inverted, mirrored=mirrored)
        except OSError as error:
            raise ShardError(
                f"{path} cannot be read: {error.strerror or error}; see that it is still there, "
                "then go on"
            ) from error
        except PictureError as error:
            raise ShardError(
                f"{path}: {self.index.key(number)} {error}; copy this shard again, then go on"
            ) from error

    def close(self) -> None:
        """Close all files; reading opens them again."""
        self._files.close()


class _OpenFiles:
    """Files that are kept open, those used last; one lot for each process."""

    def __init__(self) -> None:
        self._handles: OrderedDict[Path, int] = OrderedDict()

    def __del__(self) -> None:
        self.close()

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Give bytes of a file, fewer if it ends before.

        Raises
        ------
        OSError
            As the system says.
        """
        handle = self._handles.get(path)
        if handle is None:
            handle = self._handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if len(self._handles) > _OPEN_FILES:
                os.close(self._handles.popitem(last=False)[1])
        else:
            self._handles.move_to_end(path)
        return os.pread(handle, length, offset)

    def close(self) -> None:
        while self._handles:
            os.close(self._handles.popitem()[1])
