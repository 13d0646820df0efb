"""Archives of pictures: zip and tar, plain or packed. Nothing is ever extracted to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

from pydantic import Field

from curation.ingest import zipmembers
from curation.ingest.containers import Container, containers
from curation.ingest.files import matching_files, too_large
from curation.ingest.joined import Joined, MetadataJoin
from curation.ingest.members import (
    PEEK_BYTES,
    Naming,
    archive_kind,
    is_hidden,
    refuse_nested,
    tidy,
)
from curation.ingest.names import clean_member, unsafe
from curation.ingest.offers import (
    Complete,
    Event,
    Found,
    Known,
    Passed,
    ReadFailure,
    compare,
    failed,
)
from curation.ingest.tarstream import TarStream, members, read_member
from curation.recipe import Limits
from data_catalog.schema import Reason


class ArchiveConfig(MetadataJoin):
    """`kind = "archive"`: zip, tar, tar.gz, tar.bz2, tar.xz; told apart by content, not by name."""

    kind: Literal["archive"] = Field("archive", description="one or several zip or tar archives")


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """Reads archives one after the other, members in the archive's own order."""

    config: ArchiveConfig
    random_access: bool = False

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry."""
        return self.config.name

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Offer every member that is new or changed; unchanged archives are not opened."""
        files = matching_files(self.config.path, "path")
        joined = Joined.load(self.config)
        wanted = self.config.path_matcher()
        for bad in joined.bad:
            yield failed(bad.where, Reason.UNREADABLE, bad.detail)
        for item in containers(files, self.config, limits, known, joined.revision):
            if isinstance(item, Container):
                yield from _Reader(self.config, joined, known, limits, item, wanted).events()
            else:
                yield item


@dataclass(frozen=True, slots=True)
class _Reader:
    config: ArchiveConfig
    joined: Joined
    known: Known
    limits: Limits
    container: Container
    wanted: Callable[[str], bool] | None

    def events(self) -> Iterator[Event]:
        try:
            with Path(self.container.path).open("rb") as file:
                yield from self._read(file)
        except ReadFailure as error:
            yield failed(
                self.container.locator, error.reason, error.detail, revision=self.container.mark
            )
        except OSError as error:
            yield failed(self.container.locator, Reason.UNREADABLE, str(error))
        else:
            yield Complete(self.container.locator, self.container.mark)

    def _read(self, file: IO[bytes]) -> Iterator[Event]:
        head = file.read(PEEK_BYTES)
        file.seek(0)
        kind = archive_kind(head)
        if kind == "zip":
            yield from self._zip(file)
        elif kind in ("tar", "gzip", "bzip2", "xz") or self.container.path.endswith(".tar"):
            yield from self._tar(file)
        else:
            raise ReadFailure(
                Reason.UNREADABLE,
                f"is {'a ' + kind if kind else 'no known'} archive; zip, tar, tar.gz, tar.bz2 and "
                "tar.xz can be read",
            )

    def _tar(self, file: IO[bytes]) -> Iterator[Event]:
        naming = Naming(self.container.locator)
        stream = TarStream(file, self.limits)
        for member in members(stream):
            if member.isdir():
                continue
            name = tidy(member.name)
            if is_hidden(name):
                continue
            locator = naming.locator(name)
            # Many tars carry no usable times, so a member is as old as its archive.
            content = f"{member.size}-{int(member.mtime)}@{self.container.content}"
            yield from self._member(
                locator, name, content, partial(_read_tar_member, stream, member, self.limits)
            )

    def _zip(self, file: IO[bytes]) -> Iterator[Event]:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            yield from self._salvage(file)
            raise ReadFailure(
                Reason.UNREADABLE,
                f"is cut short or damaged ({error}); what could be read before that is kept",
            ) from error
        with archive:
            yield from self._zip_members(archive)

    def _zip_members(self, archive: zipfile.ZipFile) -> Iterator[Event]:
        naming = Naming(self.container.locator)
        budget = _Budget(self.limits)
        infos = archive.infolist()
        shared = zipmembers.overlapping(infos)
        for info in infos:
            name = tidy(zipmembers.name_of(info))
            if info.is_dir() or is_hidden(name):
                continue
            locator = naming.locator(name)
            if info.header_offset in shared:
                detail = "shares its bytes with another member, as zip bombs do"
                yield failed(locator, Reason.ARCHIVE_BOMB, detail, revision=self.container.content)
                continue
            content = f"{info.file_size}-{info.CRC:08x}"

            def read(info: zipfile.ZipInfo = info) -> bytes:
                return budget.spend(zipmembers.read_member(archive, info, self.limits))

            yield from self._member(locator, name, content, read)
            budget.check()

    def _salvage(self, file: IO[bytes]) -> Iterator[Event]:
        naming = Naming(self.container.locator)
        budget = _Budget(self.limits)
        found = zipmembers.salvage(file, self.limits)
        while (item := _next_salvaged(found)) is not None:
            name = tidy(item.name)
            if name.endswith("/") or is_hidden(name):
                continue
            locator = naming.locator(name)
            content = f"{len(item.data or b'')}-{item.crc:08x}"
            yield from self._member(locator, name, content, partial(_give, item))
            budget.spend(item.data or b"")
            budget.check()

    def _member(
        self, locator: str, name: str, content: str, read: Callable[[], bytes]
    ) -> Iterator[Event]:
        if problem := unsafe(name):
            yield failed(locator, Reason.UNSAFE_NAME, problem, revision=content)
            return
        if self.wanted is not None and not self.wanted(clean_member(locator)):
            yield Passed(filtered=1)
            return
        about = self.joined.about(clean_member(locator))
        if about is None:
            yield Passed(filtered=1)
            return
        label = about.label if about.label is not None else self.config.label
        found = Found(locator, content, read, 0, label, about.tags, about.fields)
        # Reached again only when the archive or a limit has changed: then failures get a new try.
        yield compare(found, self.known, retry=True)


def _read_tar_member(stream: TarStream, member: tarfile.TarInfo, limits: Limits) -> bytes:
    if member.islnk() or member.issym():
        target = member.linkname
        if target.startswith("/") or ".." in target.split("/"):
            raise ReadFailure(Reason.LINK_OUTSIDE, f"is a link to {target}")
        raise ReadFailure(
            Reason.UNREADABLE, f"is a link to {target}; links within archives are not followed"
        )
    if not member.isfile() or member.size < 0:
        raise ReadFailure(Reason.UNREADABLE, "is a device, a pipe or the like, no regular file")
    if member.issparse():
        bomb = member.size > limits.max_bytes
        raise ReadFailure(
            Reason.ARCHIVE_BOMB if bomb else Reason.UNREADABLE,
            f"is a sparse file of {member.size:,} bytes; pictures have no holes",
        )
    if member.size > limits.max_bytes:
        refuse_nested(read_member(stream, min(member.size, PEEK_BYTES)))
        raise too_large(member.size, limits.max_bytes)
    data = read_member(stream, member.size)
    refuse_nested(data[:PEEK_BYTES])
    return data


def _give(item: zipmembers.Salvaged) -> bytes:
    if item.failure is not None:
        raise item.failure
    return item.data or b""


def _next_salvaged(found: Iterator[zipmembers.Salvaged]) -> zipmembers.Salvaged | None:
    try:
        return next(found, None)
    except (OSError, EOFError, ValueError):
        return None


class _Budget:
    """Counts what one archive has unpacked to."""

    def __init__(self, limits: Limits) -> None:
        self.most = limits.max_archive_bytes
        self.spent = 0

    def spend(self, data: bytes) -> bytes:
        self.spent += len(data)
        return data

    def check(self) -> None:
        if self.spent > self.most:
            raise ReadFailure(
                Reason.ARCHIVE_BOMB,
                f"unpacks to more than `limits.max_archive_bytes`, {self.most:,}; "
                "reading stopped there",
            )
