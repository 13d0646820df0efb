"""A folder of pictures, with or without a table that says what they show."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pydantic import Field

from curation.errors import SourceError
from curation.ingest.files import in_words, is_below, kind_of, read_bounded, revision_of, too_large
from curation.ingest.joined import Joined, MetadataJoin
from curation.ingest.names import escape, is_litter
from curation.ingest.offers import Event, Found, Known, Passed, compare, failed
from curation.recipe import Limits
from data_catalog.schema import Reason


class FolderConfig(MetadataJoin):
    """`kind = "folder"`: every file below a folder, in the order of its path."""

    kind: Literal["folder"] = Field("folder", description="a folder of pictures")
    label_from: Literal["none", "parent"] = Field(
        "none",
        description='"parent": a picture without a label is labelled with the name of its folder, '
        "as in root/<label>/x.jpg",
    )


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Reads a folder. Links are followed as long as they stay within it."""

    config: FolderConfig
    random_access: bool = True

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry."""
        return self.config.name

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Offer every file that is new or changed, sorted by path."""
        root = resolved_folder(self.config.path, "path")
        joined = Joined.load(self.config)
        wanted = self.config.path_matcher()
        skip = joined.files
        for bad in joined.bad:
            yield failed(bad.where, Reason.UNREADABLE, bad.detail)
        for entry in walk(root):
            if entry.path in skip:
                continue
            if wanted is not None and not wanted(entry.locator):
                yield Passed(filtered=1)
            elif entry.status is None:
                yield failed(entry.locator, entry.reason, entry.detail)
            else:
                yield self._offer(entry, entry.status, joined, known, limits)

    def _offer(
        self, entry: Entry, status: os.stat_result, joined: Joined, known: Known, limits: Limits
    ) -> Event:
        about = joined.about(entry.locator)
        if about is None:
            return Passed(filtered=1)
        label = about.label
        if label is None and self.config.label_from == "parent" and "/" in entry.locator:
            label = entry.locator.rsplit("/", 2)[-2]
        found = Found(
            entry.locator,
            revision_of(status),
            partial(read_bounded, entry.target, limits.max_bytes),
            status.st_size,
            label if label is not None else self.config.label,
            about.tags,
            about.fields,
        )
        if status.st_size > limits.max_bytes:
            error = too_large(status.st_size, limits.max_bytes)
            return failed(
                entry.locator, error.reason, error.detail, revision=found.content, record=found
            )
        return compare(found, known, retry=True)


def resolved_folder(path: str, key: str) -> str:
    """Resolve a folder that the config names.

    Raises
    ------
    SourceError
        If it does not exist, is no folder or cannot be listed.
    """
    try:
        root = os.path.realpath(path, strict=True)
        with os.scandir(root):
            return root
    except FileNotFoundError:
        raise SourceError(
            f"`{key}` does not exist: {escape(path)} (seen from {escape(os.getcwd())}); "  # noqa: PTH109
            "correct the path, or take the entry out of [[sources]]"
        ) from None
    except NotADirectoryError:
        raise SourceError(
            f"`{key}` is a file, not a folder: {escape(path)}; "
            'for an archive set kind = "archive", for a table kind = "metadata"'
        ) from None
    except OSError as error:
        raise SourceError(f"`{key}` cannot be listed: {escape(path)}: {in_words(error)}") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing found below a folder: a regular file with its status, or a reason why it is none.

    `path` is as it was found, `target` the file behind it when it is a link.
    """

    locator: str
    path: str
    target: str
    status: os.stat_result | None
    reason: Reason = Reason.UNREADABLE
    detail: str = ""


def walk(root: str) -> Iterator[Entry]:
    """Go through a resolved folder depth first, sorted by name, without dotfiles and litter.

    Links to folders are entered last and only where their target was not listed under its own name,
    so that no loop and no web of links can make the walk longer than the tree.
    """
    visited: set[tuple[int, int]] = set()
    links: list[tuple[str, str]] = []
    yield from _walk_tree(root, "", root, visited, links)
    while links:
        path, relative = links.pop(0)
        yield from _walk_tree(path, relative + "/", root, visited, links)


def _walk_tree(
    top: str,
    prefix: str,
    root: str,
    visited: set[tuple[int, int]],
    links: list[tuple[str, str]],
) -> Iterator[Entry]:
    stack: list[tuple[str, str]] = [(top, prefix)]  # no recursion: trees can be very deep
    pending: list[Iterator[os.DirEntry[str]]] = []
    prefixes: list[str] = []
    while stack or pending:
        if stack:
            folder, prefix = stack.pop()
            try:
                entries = _list(folder, visited)
            except OSError as error:
                name = escape(prefix.rstrip("/")) or "."
                yield Entry(name, folder, folder, None, detail=f"a folder: {in_words(error)}")
                continue
            pending.append(iter(entries))
            prefixes.append(prefix)
        entry = next(pending[-1], None)
        if entry is None:
            pending.pop()
            prefixes.pop()
            continue
        relative = prefixes[-1] + entry.name
        if is_litter(entry.name):
            continue
        if entry.is_symlink():
            yield from _link(entry.path, relative, root, links)
        elif _is_folder(entry):
            stack.append((entry.path, relative + "/"))
        else:
            yield _file(
                entry.path, entry.path, relative, partial(entry.stat, follow_symlinks=False)
            )


def _list(folder: str, visited: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    status = os.stat(folder)  # noqa: PTH116 - a string that may hold surrogates
    identity = (status.st_dev, status.st_ino)
    if identity in visited:
        return []
    visited.add(identity)
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda e: e.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _file(path: str, target: str, relative: str, status_of: Callable[[], os.stat_result]) -> Entry:
    locator = escape(relative)
    try:
        status = status_of()
    except OSError as error:
        return Entry(locator, path, target, None, detail=in_words(error))
    if not stat.S_ISREG(status.st_mode):
        return Entry(
            locator, path, target, None, detail=f"is {kind_of(status.st_mode)}, not a regular file"
        )
    return Entry(locator, path, target, status)


def _link(path: str, relative: str, root: str, links: list[tuple[str, str]]) -> Iterator[Entry]:
    locator = escape(relative)
    target = os.path.realpath(path)
    if not is_below(target, root):
        yield Entry(
            locator,
            path,
            target,
            None,
            Reason.LINK_OUTSIDE,
            "is a link that leaves the folder; copy the file into it, or make its target a source",
        )
        return
    try:
        status = os.stat(path)  # noqa: PTH116 - follows; names loops and dangling links
    except OSError as error:
        yield Entry(locator, path, target, None, detail=f"a link: {in_words(error)}")
        return
    if stat.S_ISDIR(status.st_mode):
        links.append((path, relative))
    else:
        yield _file(path, target, relative, lambda: status)
