from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from curation.ingest.sources import (
    ArchiveConfig,
    FolderConfig,
    MetadataConfig,
    SourceConfig,
    WebDatasetConfig,
    check_names,
    open_source,
)

KINDS = [FolderConfig, ArchiveConfig, WebDatasetConfig, MetadataConfig]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sources: list[SourceConfig]


def test_toml_as_people_write_it() -> None:
    text = """
    [[sources]]
    kind = "folder"
    path = "../shared/data/clothing/images"
    metadata = "../shared/data/clothing/images.csv"
    [[sources]]
    kind = "archive"
    path = "dumps/*.zip"
    [[sources]]
    kind = "webdataset"
    path = "shards/{000..015}.tar"
    [[sources]]
    kind = "metadata"
    path = "posts.jsonl"
    images = "originals"
    include_tags = ["1girl"]
    where = { rating = ["s"], score = { min = 10 } }
    """
    config = _File.model_validate(tomllib.loads(text))
    assert [s.name for s in config.sources] == ["images", "dumps", "shards", "posts.jsonl"]
    assert [open_source(s).name for s in config.sources] == [s.name for s in config.sources]
    check_names(config.sources)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "floppy", "path": "x"}, "floppy"),
        ({"kind": "folder"}, "path"),
        ({"kind": "folder", "path": "x", "stem_colum": "y"}, "stem_colum"),
        ({"kind": "folder", "path": "x", "include": ["[z-a]"]}, r"\[z-a\]"),
        ({"kind": "metadata", "path": "x", "where": {"a": {"minimum": 1}}}, "minimum"),
    ],
)
def test_wrong_configs_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(SourceConfig).validate_python(given)


@pytest.mark.parametrize("config", KINDS)
def test_every_key_is_described(config: type[BaseModel]) -> None:
    assert not [name for name, info in config.model_fields.items() if not info.description]
    assert inspect.getdoc(config)


def test_paths_are_taken_relative_to_the_config(tmp_path: Path) -> None:
    folder = FolderConfig(path="a/b", metadata="/abs/t.csv").at(tmp_path)
    assert (folder.path, folder.metadata) == (f"{tmp_path}/a/b", "/abs/t.csv")
    assert MetadataConfig(path="t", images="i").at(tmp_path).images == f"{tmp_path}/i"
    assert FolderConfig(path="a").at(tmp_path).metadata is None
    assert folder.name == "b"


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="called `images`"):
        check_names([FolderConfig(path="a/images"), FolderConfig(path="b/images")])
