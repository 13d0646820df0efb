"""The configuration of a dataset: `nonesuch.toml`, read, checked and resolved.

Every part is a frozen model that lives beside the code it configures; here they are put together.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from curation.grouping import DuplicateRules
from curation.ingest.offers import Located
from curation.ingest.sources import SourceConfig, check_names
from curation.ingest.web.settings import WebSettings
from curation.judging import Rules
from curation.recipe import Limits, Recipe
from curation.stages.splits import SplitConfig, check_splits
from flows.compute.settings import ComputeConfig
from flows.loop.settings import LoopConfig, Schedules, ServerConfig
from flows.ranking.settings import RankConfig
from flows.trainings.settings import MatrixConfig, TrainConfig
from review_ui.settings import ReviewConfig

DEFAULT_FILE: Final = "nonesuch.toml"


class ConfigError(Exception):
    """The configuration is wrong; the message names file, key, value and remedy."""


class Section(BaseModel):
    """Base of the sections that are defined here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dataset(Section):
    """What the dataset is called and where it lives."""

    name: str = Field(
        "dataset", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="letters, digits, . _ -"
    )
    root: str = Field("data", description="folder or fsspec URL (s3://bucket/folder)")
    storage_options: dict[str, SecretStr | bool | int] = Field(
        default_factory=dict, description="handed to fsspec, e.g. { key = …, secret = … }"
    )


class Publishing(Section):
    """How versions are written."""

    include_flagged: bool = Field(
        False, description="publish flagged items that nobody has decided yet, too"
    )
    samples_per_shard: int = Field(1000, ge=1, description="images in one shard, at most")


class Running(Section):
    """What a run may use of the machine."""

    workers: int = Field(0, ge=0, description="processes for image work; 0 is one a processor")


class DatasetConfig(Section):
    """All of `nonesuch.toml`."""

    dataset: Dataset = Dataset()
    web: WebSettings = Field(
        WebSettings(), description="how sources are fetched from the web; each may differ"
    )
    sources: tuple[SourceConfig, ...] = Field((), description="where pictures come from")
    recipe: Recipe = Recipe()
    limits: Limits = Limits()
    rules: Rules = Rules()
    duplicates: DuplicateRules = DuplicateRules()
    publish: Publishing = Publishing()
    splits: tuple[SplitConfig, ...] = Field(
        (), description="parts of the set that are published as versions of their own"
    )
    train: TrainConfig = TrainConfig()
    matrix: MatrixConfig = MatrixConfig()
    rank: RankConfig = RankConfig()
    schedules: Schedules = Schedules()
    loop: LoopConfig = LoopConfig()
    server: ServerConfig = ServerConfig()
    compute: ComputeConfig = ComputeConfig()
    run: Running = Running()
    review: ReviewConfig = ReviewConfig()

    @model_validator(mode="before")
    @classmethod
    def _fetched_alike(cls, data: Any) -> Any:
        """Let `[web]` say what a source that is fetched from the web does not say itself."""
        match data:
            case {"web": dict(web), "sources": list(sources) | tuple(sources)}:
                return {**data, "sources": [_with_web(source, web) for source in sources]}
        return data

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
        check_names(sources)
        return sources

    @model_validator(mode="after")
    def _splits_exist(self) -> DatasetConfig:
        check_splits(self.splits)
        known = [split.name for split in self.splits]
        for name in self.matrix.splits:
            if name not in known:
                raise ValueError(
                    f"`matrix.splits` must name splits of [[splits]], got {name!r}; "
                    f"there are {', '.join(known) or 'none'}"
                )
        return self

    @model_validator(mode="after")
    def _cascade_exists(self) -> DatasetConfig:
        if self.recipe.detector is not None:
            from curation.cascade import load_cascade
            from curation.errors import CurationError

            try:
                load_cascade(self.recipe.detector.cascade)
            except CurationError as error:
                raise ValueError(str(error)) from error
        return self


def _with_web(source: Any, web: dict[str, Any]) -> Any:
    if not isinstance(source, dict):
        return source
    model = _SOURCES.get(str(source.get("kind")))
    if model is None or not issubclass(model, WebSettings):
        return source
    return {**{key: web[key] for key in web if key in WebSettings.model_fields}, **source}


def load(path: str | os.PathLike[str]) -> DatasetConfig:
    """Read a configuration; relative paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or any key or value is wrong.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist; write one with `nonesuch init`, or name one with --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    return parse_text(text, name=str(file), folder=file.resolve().parent)


def parse_text(text: str, *, name: str, folder: Path) -> DatasetConfig:
    """Check the text of a configuration; parameters and errors as those of `parse`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}") from error
    return parse(raw, name=name, folder=folder)


def parse(raw: dict[str, Any], *, name: str, folder: Path) -> DatasetConfig:
    """Check a configuration that is already read, and make its paths absolute.

    Parameters
    ----------
    raw : dict
        As `tomllib` gives it.
    name : str
        What errors call it.
    folder : Path
        What relative paths are relative to.
    """
    try:
        config = DatasetConfig.model_validate(_with_cascade(raw, folder))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{name}: {line}" for line in _explain(error))) from error
    try:
        root = _absolute(config.dataset.root, folder)
        sources = tuple(source.at(folder) for source in config.sources)
        train = config.train.at(folder)
    except RuntimeError as error:  # pathlib's, of `~name`
        raise ConfigError(
            f"{name}: a path that begins with `~` names a user who does not exist; "
            "write ./ before it if it is the name of a folder"
        ) from error
    for source in sources:
        if not isinstance(source, Located):
            continue
        if "://" not in root and Path(root).resolve().is_relative_to(Path(source.path).resolve()):
            raise ConfigError(
                f"{name}: `dataset.root` {root} lies inside `path` {source.path} of the source "
                f"{source.name!r}, which would take in its own catalog; put it somewhere else"
            )
    dataset = config.dataset.model_copy(update={"root": root})
    moved = {
        "dataset": dataset,
        "sources": sources,
        "train": train,
        "review": config.review.at(folder),
        "server": config.server.at(folder, root),
    }
    return config.model_copy(update=moved)


def _with_cascade(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the path of a cascade file absolute; a name of one that OpenCV ships stays."""
    match raw:
        case {"recipe": {"detector": {"cascade": str(name)} as detector} as recipe}:
            path = folder / Path(name).expanduser()
            if path.is_file():
                detector = {**detector, "cascade": os.path.normpath(path)}
                return {**raw, "recipe": {**recipe, "detector": detector}}
    return raw


def _absolute(url: str, folder: Path) -> str:
    return url if "://" in url else os.path.normpath(folder / Path(url).expanduser())


# The models of [[sources]] by their `kind`.
_SOURCES: Final[dict[str, type[BaseModel]]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(SourceConfig)[0])
}

# pydantic's words for what people write in TOML.
_WORDS: Final = (
    (r"^Value error, ", ""),
    (r"^(Input|String) should ", "must "),
    (r"a valid tuple", "a list"),
    (r"a valid dictionary.*", "a table"),
)


def _explain(error: ValidationError) -> Iterator[str]:
    """Put pydantic's errors in words, one line a key: key, rule, value, remedy."""
    lines: dict[str, list[ErrorDetails]] = {}
    for details in error.errors():
        lines.setdefault(_key(details["loc"]), []).append(details)
    for key, found in lines.items():
        kinds = {details["type"] for details in found}
        # A value of several allowed types that fits none of them: one error for each type.
        rule = " or ".join(dict.fromkeys(_rule(details) for details in found))
        if "extra_forbidden" in kinds:
            yield f"`{key}` is not a key{_suggestion(found[0]['loc'])}"
        elif kinds == {"value_error"}:
            yield f"`{key}`: {rule}" if key else rule
        elif kinds == {"missing"}:
            yield f"`{key}` is missing"
        elif "union_tag_not_found" in kinds:
            yield f"`{key}.kind` is missing; it must be one of {', '.join(_SOURCES)}"
        elif "union_tag_invalid" in kinds:
            kind = found[0]["ctx"]["tag"]
            yield f"`{key}.kind`: must be one of {', '.join(_SOURCES)}, got {kind!r}"
        elif key == "sources":
            yield f"`sources`: {rule}, got {found[0]['input']!r}; write [[sources]] above its keys"
        else:
            yield f"`{key}`: {rule}, got {found[0]['input']!r}"


def _key(location: tuple[int | str, ...]) -> str:
    """Give the key as it stands in the file, without pydantic's names of alternatives."""
    parts = list(location)
    if parts[:1] == ["sources"]:
        del parts[2:3]  # the kind
    names = [part for part in parts if re.fullmatch(r"[\w-]+", str(part))]
    while len(names) > 1 and names[-1] in ("str", "bool", "int", "float"):
        names.pop()
    return ".".join(map(str, names))


def _rule(details: ErrorDetails) -> str:
    message = details["msg"]
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Name the keys that exist there, nearest first."""
    model = _model_at(location[:-1])
    known = list(model.model_fields) if model is not None else []
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known keys: {', '.join(known)}" if known else ""


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the model of a section."""
    if location[:1] == ("sources",):
        return _SOURCES.get(str(location[2])) if len(location) == 3 else None
    model: type[BaseModel] | None = DatasetConfig
    for part in location:
        if model is None or part not in model.model_fields:
            return None
        annotation = model.model_fields[str(part)].annotation
        choices = (annotation, *get_args(annotation))
        models = (c for c in choices if isinstance(c, type) and issubclass(c, BaseModel))
        model = next(models, None)
    return model
