"""All kinds of `[[sources]]`: one union of configs, and the readers that belong to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from curation.ingest.archive import ArchiveConfig, ArchiveSource
from curation.ingest.folder import FolderConfig, FolderSource
from curation.ingest.metadata import MetadataConfig, MetadataSource
from curation.ingest.offers import Complete, Event, Known, Offer, Passed, ReadFailure, Source
from curation.ingest.web.process import CrawledSource
from curation.ingest.web.settings import ShopConfig, UrlsConfig, WaybackConfig
from curation.ingest.webdataset import WebDatasetConfig, WebDatasetSource

__all__ = [
    "ArchiveConfig",
    "Complete",
    "Event",
    "FolderConfig",
    "Known",
    "MetadataConfig",
    "Offer",
    "Passed",
    "ReadFailure",
    "ShopConfig",
    "Source",
    "SourceConfig",
    "UrlsConfig",
    "WaybackConfig",
    "WebDatasetConfig",
    "check_names",
    "open_source",
]

SourceConfig: TypeAlias = Annotated[
    FolderConfig
    | ArchiveConfig
    | WebDatasetConfig
    | MetadataConfig
    | UrlsConfig
    | ShopConfig
    | WaybackConfig,
    Field(discriminator="kind"),
]


def open_source(config: SourceConfig) -> Source:
    """Make the reader of a source; nothing is looked at before its `offers` is iterated."""
    match config:
        case FolderConfig():
            return FolderSource(config)
        case ArchiveConfig():
            return ArchiveSource(config)
        case WebDatasetConfig():
            return WebDatasetSource(config)
        case MetadataConfig(url_column=None):
            return MetadataSource(config)
        case MetadataConfig() | UrlsConfig() | ShopConfig() | WaybackConfig():
            return CrawledSource(config)


def check_names(configs: Sequence[SourceConfig]) -> None:
    """Refuse two sources of one name: what is known is stored by name.

    Raises
    ------
    ValueError
        If a name is used twice.
    """
    repeated = [name for name, count in Counter(c.name for c in configs).items() if count > 1]
    if repeated:
        raise ValueError(
            f"two [[sources]] are called `{repeated[0]}`; give one of them another `name`"
        )
