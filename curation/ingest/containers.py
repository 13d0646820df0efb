"""Files that hold many pictures: opened only when they, or what decides their reading, changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.ingest.files import in_words, kind_of, revision_of
from curation.ingest.names import escape
from curation.ingest.offers import Event, Known, Located, Passed, failed
from curation.recipe import Limits
from data_catalog.schema import Reason


@dataclass(frozen=True, slots=True)
class Container:
    """One archive or shard that has to be opened.

    `content` changes with the file; `mark` also with the settings and limits it is read by.
    """

    path: str
    locator: str
    content: str
    mark: str


def containers(
    files: Sequence[str], config: Located, limits: Limits, known: Known, extra: str = ""
) -> Iterator[Container | Event]:
    """Give the files that must be opened; for the others, events that say why not."""
    how = _how(config, limits, extra)
    base = fixed_folder(config.path)
    counts = known.count_in_containers()
    for path in files:
        locator = escape(os.path.relpath(path, base))
        try:
            status = os.stat(path)  # noqa: PTH116 - a string that may hold surrogates
        except OSError as error:
            yield failed(locator, Reason.UNREADABLE, in_words(error))
            continue
        if not stat.S_ISREG(status.st_mode):
            detail = f"is {kind_of(status.st_mode)}, not a regular file"
            yield failed(locator, Reason.UNREADABLE, detail)
            continue
        content = revision_of(status)
        mark = f"{content}/{how}"
        seen = known.get(locator)
        if seen is not None and seen.revision == mark:
            yield Passed(known=counts.get(locator, 0) + (seen.failure is not None))
        else:
            yield Container(path, locator, content, mark)


def fixed_folder(pattern: str) -> str:
    """Give the folder that a pattern starts from: locators are relative to it."""
    parts = pattern.split("/")
    plain = next((i for i, part in enumerate(parts) if set(part) & set("*?[{")), len(parts) - 1)
    if os.path.exists(pattern):  # noqa: PTH110 - its name may hold such characters and mean them
        plain = len(parts) - 1
    return "/".join(parts[:plain]) or ("/" if pattern.startswith("/") else ".")


def _how(config: Located, limits: Limits, extra: str) -> str:
    text = config.model_dump_json(exclude={"name", "path", "metadata"})
    bounds = (limits.max_bytes, limits.max_archive_bytes, limits.max_archive_ratio)
    return hashlib.blake2b(f"{text}{bounds}{extra}".encode(), digest_size=6).hexdigest()
