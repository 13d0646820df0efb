"""The commented configuration that `nonesuch init` writes, made from the models themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curation.grouping import DuplicateRules
from curation.ingest.folder import FolderConfig
from curation.ingest.web.settings import ShopConfig, WebSettings, is_one_url
from curation.judging import Rules
from curation.recipe import Detector, Limits, Recipe
from curation.stages.splits import SplitConfig
from flows.compute.settings import ComputeConfig
from flows.loop.settings import LoopConfig, Schedules, ServerConfig
from flows.ranking.settings import RankConfig
from flows.settings import Publishing, Running
from flows.trainings.settings import SETTINGS, MatrixConfig, TrainConfig
from review_ui.settings import ReviewConfig

_HEAD = """\
# A dataset of Nonesuch. Every key is optional; commented ones show their default, or an example
# of what could be there.
# Relative paths are relative to this file. docs/configuration.md says more.

[dataset]
name = {name}
root = {root}  # folder or fsspec URL (s3://bucket/folder)
# storage_options = {{}}  # handed to fsspec, e.g. {{ key = "…", secret = "…" }}

[[sources]]
kind = "{kind}"  # folder | archive | webdataset | metadata | urls | shop | wayback
{place}
"""

# Where the default is to have none.
_EXAMPLES: Final[Mapping[str, str]] = {
    "name": '"shop"',
    "label": '"shoe"',
    "metadata": '"images.csv"',
    "tags_separator": '";"',
    "contact": '"you@example.org"',
    "user_agent": '"Nonesuch/0.1 (+https://example.org/about-our-crawls)"',
    "max_pages": "10000",
    "max_images": "100000",
    "max_bytes": "10000000000",
    "max_minutes": "600",
    "database": '"postgresql://reviewers@db.example/review"',
    "token": '"sixteen characters or more"',
    "admin_token": '"sixteen others, or more"',
    "allowed_hosts": '["review.example.org"]',
    "tag_keys": '{ m = "mirrored", j = "jumpsuit" }',
}

_TRAIN_EXAMPLES: Final[Mapping[str, str]] = {
    "version": "1",
    "name": '"first"',
    "folder": '"models"',
    "cache": '"~/.cache/nonesuch/versions"',
    "transfer": '"models/first"',
    "mapping_layers": "8",
    "channel_base": "32768",
    "mbstd_group": "4",
    "r1_gamma": "6.0",
    "batch": "32",
    "batch_gpu": "16",
    "G_lr": "0.0025",
    "D_lr": "0.0025",
    "ema_kimg": "10.0",
    "fold": '"1/5"',
}

_LOOP_EXAMPLES: Final[Mapping[str, str]] = {
    "rebuild": '"0 3 * * *"',
    "publish": '"0 5 * * 1"',
    "train": '"0 6 * * 1"',
    "rank": '"0 4 * * *"',
    "home": '"prefect"',
    "address": '"tcp://scheduler:8786"',
    "tags": '["pov"]',
    "labels": '["shoe"]',
    "where": '{ source = "shop-.*" }',
}

# `margin_top` is what it would be by default.
_DETECTOR: Final = Detector(cascade="haarcascade_frontalface_default", margin_top=0.6)


def render(name: str, root: str, place: str, *, web: Mapping[str, Any] | None = None) -> str:
    """Write a configuration file with every key, its default and what it means.

    Parameters
    ----------
    name, root : str
        Name of the dataset, and its root.
    place : str
        Where pictures come from: a folder, or the URL of a web shop.
    web : mapping, optional
        Keys of `[web]` that are set.
    """
    if is_one_url(place):
        kind, where, source = "shop", f"start_urls = {_toml([place])}", _shop(place)
    else:
        kind, where, source = "folder", f"path = {_toml(place)}", _folder(place)
    head = _HEAD.format(name=_toml(name), root=_toml(root), kind=kind, place=where)
    parts = ["\n".join([head.rstrip(), *source]), "\n".join(["[web]", *_web(web or {})])]
    parts += [
        "\n".join(["[recipe]", *_keys(Recipe(), commented=False)]),
        "\n".join(
            [
                "# [recipe.detector]       # cut items out by one of OpenCV's cascades",
                *_keys(_DETECTOR, commented=True),
            ]
        ),
        "\n".join(["[limits]", *_keys(Limits(), commented=True)]),
        "\n".join(
            [
                "# What breaks a rule is rejected, flagged for a person, or let through (off).",
                "[rules]",
                *_rules(Rules()),
            ]
        ),
        "\n".join(["[duplicates]", *_keys(DuplicateRules(), commented=True)]),
        "\n".join(["[publish]", *_keys(Publishing(), commented=True)]),
        "\n".join(
            [
                "# Parts of the set that are published as versions of their own, one entry each.",
                "# [[splits]]",
                *_optional(SplitConfig(name="pov"), set(), _LOOP_EXAMPLES),
            ]
        ),
        *_train(TrainConfig()),
        "\n".join(["[matrix]", *_optional(MatrixConfig(), set())]),
        "\n".join(["[rank]", *_keys(RankConfig(), commented=True)]),
        "\n".join(["[schedules]", *_optional(Schedules(), set(), _LOOP_EXAMPLES)]),
        "\n".join(["[loop]", *_keys(LoopConfig(), commented=True)]),
        "\n".join(["[server]", *_optional(ServerConfig(), set(), _LOOP_EXAMPLES)]),
        "\n".join(["[compute]", *_optional(ComputeConfig(), set(), _LOOP_EXAMPLES)]),
        "\n".join(["[review]", *_optional(ReviewConfig(), set())]),
        "\n".join(["[run]", *_keys(Running(), commented=True)]),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def with_settings(text: str, settings: Mapping[str, Any]) -> str:
    """Set keys in the text of a configuration that `render` has written.

    Parameters
    ----------
    settings : mapping
        Values by `section.key`, such as `train.run.seed`.

    Raises
    ------
    KeyError
        If there is no such line.
    """
    left, section, lines = dict(settings), "", []
    for line in text.splitlines():
        if head := re.match(r"(?:# )?\[+([\w.]+)\]+", line):
            section = head[1]
        elif (key := re.match(r"(?:# )?(\w+) = ", line)) and f"{section}.{key[1]}" in left:
            _, mark, comment = line.partition("  # ")
            line = f"{key[1]} = {_toml(left.pop(f'{section}.{key[1]}'))}{mark}{comment}"
        lines.append(line)
    if left:
        raise KeyError(f"no line of the template sets {', '.join(left)}")
    return "\n".join(lines) + "\n"


def _keys(section: BaseModel, *, commented: bool) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name == "detector":  # a section of its own
            continue
        mark = "# " if commented else ""
        yield f"{mark}{name} = {_toml(value)}{_comment(field)}"


def _folder(path: str) -> Iterator[str]:
    """Give the keys of a folder, but for those that every source needs."""
    return _optional(FolderConfig(path=path or "."), {"kind", "path"})


def _shop(url: str) -> Iterator[str]:
    """Give the keys of a shop; how it is fetched stands in `[web]`."""
    shop = ShopConfig(start_urls=(url,), contact="-")
    return _optional(shop, {"kind", "start_urls", *WebSettings.model_fields})


def _optional(
    section: BaseModel, without: Set[str], examples: Mapping[str, str] = _EXAMPLES
) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        if name not in without:
            yield _commented(name, getattr(section, name), field, examples)


def _web(chosen: Mapping[str, Any]) -> Iterator[str]:
    settings = WebSettings.model_validate(dict(chosen))
    for name, field in WebSettings.model_fields.items():
        line = _commented(name, getattr(settings, name), field)
        # What is set shows as it is set; the rest shows its default or an example.
        yield f"{name} = {_toml(chosen[name])}{_comment(field)}" if name in chosen else line


def _train(train: TrainConfig) -> Iterator[str]:
    own = _optional(train, set(SETTINGS), _TRAIN_EXAMPLES)
    yield "\n".join(
        [
            "[train]",
            *own,
            "# Below, what is not set is decided by the preset, the size of the pictures and the "
            "number of GPUs:",
            "# `nonesuch train --dry-run` shows what comes of it.",
        ]
    )
    for name in SETTINGS:
        keys = _optional(getattr(train, name), set(), _TRAIN_EXAMPLES)
        yield "\n".join([f"[train.{name}]", *keys])


def _commented(
    name: str, value: Any, field: FieldInfo, examples: Mapping[str, str] = _EXAMPLES
) -> str:
    return f"# {name} = {examples.get(name) or _toml(value)}{_comment(field)}"


def _rules(rules: Rules) -> Iterator[str]:
    for name in type(rules).model_fields:
        rule = getattr(rules, name)
        pairs = [f"{key} = {_toml(getattr(rule, key))}" for key in rule.bounds]
        pairs.append(f'action = "{rule.action}"')
        yield f"{name} = {{ {', '.join(pairs)} }}  # {rule.meaning}"


def _comment(field: FieldInfo) -> str:
    return f"  # {field.description}" if field.description else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
