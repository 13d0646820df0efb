"""WebDataset shards: tars in which the files of one sample share a name up to its first dot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from curation.ingest.containers import Container, containers
from curation.ingest.files import matching_files, too_large
from curation.ingest.joined import Filtered
from curation.ingest.members import PEEK_BYTES, Naming, is_hidden, refuse_nested, tidy
from curation.ingest.names import PICTURE_ENDINGS, clean_member, unsafe
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
from curation.ingest.records import About, about, clean
from curation.ingest.tarstream import TarStream, members, read_member
from curation.recipe import Limits
from data_catalog.schema import Reason

_MOST_SIDECAR_BYTES: Final = 4 << 20
_TEXTS: Final = frozenset({"txt", "text", "caption"})
_LABELS: Final = frozenset({"cls", "label"})


class WebDatasetConfig(Filtered):
    """`kind = "webdataset"`: shards such as ``shards/{000..015}.tar`` or ``shards/*.tar``."""

    kind: Literal["webdataset"] = Field("webdataset", description="WebDataset shards")
    label_field: str = Field(
        "label", description="field of the sample's .json with its label; a .cls file comes first"
    )
    tags_field: str = Field("tags", description="field of the sample's .json with its tags")
    tags_separator: str | None = Field(
        None,
        min_length=1,
        description="what separates tags in one text; the default is a comma, or blanks where "
        "there is no comma",
    )


@dataclass(slots=True)
class _Sample:
    """The files of one key, as far as they have been read."""

    key: str
    pictures: list[tuple[str, str, bytes | ReadFailure]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    held: int = 0


@dataclass(frozen=True, slots=True)
class WebDatasetSource:
    """Reads shards one after the other; a sample's pictures come with its .json, .cls and .txt."""

    config: WebDatasetConfig
    random_access: bool = False

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry."""
        return self.config.name

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Offer every picture of every sample in shards that are new or changed."""
        files = matching_files(self.config.path, "path")
        for item in containers(files, self.config, limits, known):
            if isinstance(item, Container):
                yield from self._shard(item, known, limits)
            else:
                yield item

    def _shard(self, shard: Container, known: Known, limits: Limits) -> Iterator[Event]:
        wanted, predicate = self.config.path_matcher(), self.config.predicate()
        try:
            with Path(shard.path).open("rb") as file:
                for entry in _samples(TarStream(file, limits), shard, limits):
                    if not isinstance(entry, _Sample):
                        yield entry
                        continue
                    described = self._about(entry)
                    for locator, content, data in entry.pictures:
                        if (wanted is not None and not wanted(clean_member(locator))) or (
                            predicate is not None
                            and not predicate(described.tags, described.fields or {})
                        ):
                            yield Passed(filtered=1)
                            continue
                        yield compare(
                            _found(locator, content, data, described, self.config.label),
                            known,
                            retry=True,
                        )
        except ReadFailure as error:
            yield failed(shard.locator, error.reason, error.detail, revision=shard.mark)
        except OSError as error:
            yield failed(shard.locator, Reason.UNREADABLE, str(error))
        else:
            yield Complete(shard.locator, shard.mark)

    def _about(self, sample: _Sample) -> About:
        described = about(
            sample.values,
            label_column=self.config.label_field,
            tags_column=self.config.tags_field,
            tags_separator=self.config.tags_separator,
        )
        if sample.label is None:
            return described
        return About(sample.label, described.tags, described.fields)


def _found(
    locator: str, content: str, data: bytes | ReadFailure, described: About, label: str | None
) -> Found:
    label = described.label if described.label is not None else label
    return Found(locator, content, partial(_give, data), 0, label, described.tags, described.fields)


def _give(data: bytes | ReadFailure) -> bytes:
    if isinstance(data, ReadFailure):
        raise data
    return data


def _samples(stream: TarStream, shard: Container, limits: Limits) -> Iterator[_Sample | Event]:
    """Gather consecutive members of one key; a sample without a picture is a failure by itself.

    What was gathered before damage is given before the damage is raised.
    """
    naming = Naming(shard.locator)
    sample: _Sample | None = None
    found = members(stream)
    damage: ReadFailure | None = None
    while True:
        try:
            member = next(found, None)
        except ReadFailure as error:
            damage, member = error, None
        name = "" if member is None else tidy(member.name)
        if member is not None and (member.isdir() or is_hidden(name)):
            continue
        key, ending = _split(name)
        if sample is not None and (member is None or key != sample.key):
            yield sample if sample.pictures else _without_picture(sample, naming, shard)
            sample = None
        if member is None:
            if damage is not None:
                raise damage
            return
        if problem := unsafe(name) or (None if member.isfile() else "is no regular file"):
            reason = Reason.UNSAFE_NAME if unsafe(name) else Reason.UNREADABLE
            yield failed(naming.locator(name), reason, problem, revision=shard.content)
            continue
        sample = sample or _Sample(key)
        _take(sample, name, ending, member.size, member.issparse(), stream, naming, shard, limits)


def _split(name: str) -> tuple[str, str]:
    """Split at the first dot of the last component, as `webdataset` does."""
    folder, slash, last = name.rpartition("/")
    key, _, ending = last.partition(".")
    return folder + slash + key, ending.lower()


def _take(
    sample: _Sample,
    name: str,
    ending: str,
    size: int,
    sparse: bool,
    stream: TarStream,
    naming: Naming,
    shard: Container,
    limits: Limits,
) -> None:
    if ending in PICTURE_ENDINGS:
        data = _picture(sample, size, sparse, stream, limits)
        sample.pictures.append((naming.locator(name), f"{size}@{shard.content}", data))
        return
    sample.others.append(ending)
    if size > _MOST_SIDECAR_BYTES or sparse or ending not in {"json"} | _TEXTS | _LABELS:
        return
    try:
        text = clean(read_member(stream, size).decode("utf-8", "surrogateescape"))
    except ReadFailure:
        return  # the next look at the stream tells the same of the whole shard
    if ending == "json":
        sample.values |= _object(text)
    elif ending in _LABELS:
        sample.label = text.strip() or None
    else:
        sample.values[ending] = text


def _picture(
    sample: _Sample, size: int, sparse: bool, stream: TarStream, limits: Limits
) -> bytes | ReadFailure:
    if sparse or size < 0:
        return ReadFailure(Reason.UNREADABLE, "is a sparse file; pictures have no holes")
    # One key's pictures are held at once, so they share the bound of one file.
    if sample.held + size > limits.max_bytes:
        return too_large(sample.held + size, limits.max_bytes)
    try:
        data = read_member(stream, size)
        refuse_nested(data[:PEEK_BYTES])
    except ReadFailure as error:
        return error
    sample.held += size
    return data


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"json_error": "the sample's .json is not valid"}
    return value if isinstance(value, dict) else {"json": value}


def _without_picture(sample: _Sample, naming: Naming, shard: Container) -> Event:
    endings = ", ".join(sample.others[:10]) or "none"
    return failed(
        naming.locator(sample.key),
        Reason.NOT_AN_IMAGE,
        f"the sample has no picture; its files end in: {endings}",
        revision=shard.content,
    )
