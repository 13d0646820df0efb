"""Packs: the bytes of some thousand images in one tar file; each is one range read.

Bytes first, then the row: a pack shows up under its name when it is complete and on the disk,
and only then may a table refer to it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from data_catalog.errors import CatalogError, StorageError
from data_catalog.storage import TEMPORARY_PREFIX, Root, naming, sync_folder, temporary_name
from data_catalog.tarball import END, header, padding

MAX_ITEMS: Final = 2000
MAX_BYTES: Final = 256 << 20

_OPEN_FILES: Final = 64
_FETCHES: Final = 16  # range reads in flight where each is a request over a network
_AT_ONCE: Final = 1 << 20  # bytes that are read in one, where they are neighbours
_GAP: Final = 32 << 10  # bytes between neighbours: a header, a thumbnail


@dataclass(frozen=True, slots=True)
class PackRef:
    """Where some bytes are: name of the pack's file, offset of the first byte, length in bytes."""

    pack: str
    offset: int
    length: int


class PackWriter:
    """Writes one pack. As a context manager: seals on success, leaves nothing on an exception.

    Made by `PackStore.writer`.
    """

    def __init__(self, store: PackStore, max_items: int, max_bytes: int) -> None:
        self.pack = f"pack-{time.time_ns():016x}-{secrets.token_hex(4)}.tar"
        self._store = store
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items = 0
        self._position = 0
        self._file: IO[bytes] | None = None
        self._temporary: Path | None = None
        self._sealed = False
        self._discarded = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @property
    def full(self) -> bool:
        """True when the pack has reached its most items or bytes."""
        return self._items >= self._max_items or self._position >= self._max_bytes

    @property
    def items(self) -> int:
        """Members so far."""
        return self._items

    def add(self, name: str, data: bytes) -> PackRef:
        """Append a member; the reference is good once the pack is closed.

        Parameters
        ----------
        name
            Of the member in the tar file. It need not be unique.
        data
            Its bytes.
        """
        if self._sealed:
            raise CatalogError(f"pack {self.pack} is sealed; begin another")
        head = header(name, len(data))
        with naming(self._store.root.join(self.pack)):
            file = self._file or self._begin()
            file.write(head)
            file.write(data)
            file.write(padding(len(data)))
        ref = PackRef(self.pack, self._position + len(head), len(data))
        self._position += len(head) + len(data) + (-len(data) % 512)
        self._items += 1
        return ref

    def close(self) -> None:
        """Seal the pack: all bytes on the disk, then its name. Nothing is left of an empty one."""
        if self._discarded:
            raise CatalogError(f"pack {self.pack} was discarded; its bytes are gone")
        if self._sealed or self._file is None or self._temporary is None:
            self._sealed = True
            return
        root = self._store.root
        try:
            with naming(root.join(self.pack)):
                self._file.write(END)
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                if root.is_local:
                    self._temporary.replace(root.join(self.pack))
                    sync_folder(root.path)
                else:
                    root.fs.put_file(str(self._temporary), root.join(self.pack))
                    self._temporary.unlink()
        except BaseException:
            self.discard()
            raise
        self._sealed = True

    def discard(self) -> None:
        """Throw away what was written."""
        if self._file is not None:
            # The buffer may hold what a full disk refused once already.
            with contextlib.suppress(OSError):
                self._file.close()
        if self._temporary is not None and not self._sealed:
            self._temporary.unlink(missing_ok=True)
            self._discarded = True
        self._sealed = True

    def _begin(self) -> IO[bytes]:
        """Open the temporary file: beside the pack, or on this machine for an object store."""
        root = self._store.root
        if root.is_local:
            root.makedirs()
            self._temporary = Path(root.join(temporary_name(".tar")))
            self._file = self._temporary.open("xb", buffering=1 << 20)
        else:
            handle, path = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=".tar")
            self._temporary = Path(path)
            self._file = os.fdopen(handle, "wb", buffering=1 << 20)
        return self._file


class PackStore:
    """A folder of packs."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"PackStore({self.path!r})"

    @property
    def path(self) -> str:
        """Folder or URL, for workers that open packs themselves."""
        return self.root.url

    def writer(self, *, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> PackWriter:
        """Begin a pack. Nothing is written before the first `add`."""
        return PackWriter(self, max_items, max_bytes)

    def read(self, ref: PackRef) -> bytes:
        """Read one member.

        Raises
        ------
        StorageError
            If the pack is missing, or ends before the member does.
        """
        return next(self.read_many([ref]))

    def read_many(self, refs: Iterable[PackRef]) -> Iterator[bytes]:
        """Read members in the order given; memory stays flat however many they are.

        Packs stay open between reads. From object stores several ranges are fetched at once.
        """
        return self._read_local(refs) if self.root.is_local else self._fetch(refs)

    def packs(self) -> list[str]:
        """Names of the complete packs, sorted, which is the order of their making."""
        return [name for name in self.root.ls() if not name.startswith(TEMPORARY_PREFIX)]

    def remove(self, pack: str) -> None:
        """Delete a pack; nothing happens where it is gone already."""
        self.root.remove(pack)

    def _read_local(self, refs: Iterable[PackRef]) -> Iterator[bytes]:
        handles: OrderedDict[str, int] = OrderedDict()
        try:
            for ref in refs:
                with naming(self.root.join(ref.pack)):
                    handle = handles.get(ref.pack)
                    if handle is None:
                        if len(handles) >= _OPEN_FILES:
                            os.close(handles.popitem(last=False)[1])
                        handle = os.open(self.root.join(ref.pack), os.O_RDONLY | os.O_CLOEXEC)
                        handles[ref.pack] = handle
                    handles.move_to_end(ref.pack)
                    data = os.pread(handle, ref.length, ref.offset)
                yield self._whole(ref, data)
        finally:
            for handle in handles.values():
                os.close(handle)

    def _fetch(self, refs: Iterable[PackRef]) -> Iterator[bytes]:
        waiting: deque[Future[list[bytes]]] = deque()
        with ThreadPoolExecutor(_FETCHES) as pool:
            try:
                for neighbours in _neighbours(refs):
                    waiting.append(pool.submit(self._fetch_at_once, neighbours))
                    if len(waiting) >= 2 * _FETCHES:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _fetch_at_once(self, refs: Sequence[PackRef]) -> list[bytes]:
        """Read neighbours in one request: each costs more than some bytes between them."""
        start, end = refs[0].offset, refs[-1].offset + refs[-1].length
        path = self.root.join(refs[0].pack)
        with naming(path):
            data = memoryview(self.root.fs.cat_file(path, start=start, end=end))
        places = ((ref, ref.offset - start) for ref in refs)
        return [self._whole(ref, bytes(data[at : at + ref.length])) for ref, at in places]

    def _whole(self, ref: PackRef, data: bytes) -> bytes:
        if len(data) != ref.length:
            raise StorageError(
                f"{self.root.join(ref.pack)} is damaged: {ref.length} bytes wanted at "
                f"{ref.offset}, {len(data)} are there; restore it from a copy"
            )
        return data


def _neighbours(refs: Iterable[PackRef]) -> Iterator[list[PackRef]]:
    """Put references together that follow one another in a pack, with little between them."""
    group: list[PackRef] = []
    for ref in refs:
        if group and not (
            ref.pack == group[-1].pack
            and 0 <= ref.offset - (group[-1].offset + group[-1].length) <= _GAP
            and ref.offset + ref.length - group[0].offset <= _AT_ONCE
        ):
            yield group
            group = []
        group.append(ref)
    if group:
        yield group
