"""The commented configuration that `nonesuch init` writes, made from the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curation.grouping import DuplicateRules
from curation.ingest.folder import FolderConfig
from curation.judging import Rules
from curation.recipe import Detector, Limits, Recipe
from flows.settings import Publishing, Running

_HEAD = """\
# A dataset of Nonesuch. Every key is optional; commented ones show their default, or an example
# of what could be there.
# Relative paths are relative to this file. docs/configuration.md says more.

[dataset]
name = {name}
root = {root}  # folder or fsspec URL (s3://bucket/folder)
# storage_options = {{}}  # handed to fsspec, e.g. {{ key = "…", secret = "…" }}

[[sources]]
kind = "folder"  # folder | archive | webdataset | metadata
path = {path}
"""

# Where the default is to have none.
_EXAMPLES: Final[Mapping[str, str]] = {
    "name": '"shop"',
    "label": '"shoe"',
    "metadata": '"images.csv"',
    "tags_separator": '";"',
}


# `margin_top` is what it would be by default.
_DETECTOR: Final = Detector(cascade="haarcascade_frontalface_default", margin_top=0.6)


def render(name: str, root: str, path: str) -> str:
    """Write a configuration file with every key, its default and what it means.

    Parameters
    ----------
    name, root, path : str
        Name of the dataset, its root, and the folder of its first source.
    """
    quoted = {key: _toml(value) for key, value in (("name", name), ("root", root), ("path", path))}
    parts = ["\n".join([_HEAD.format(**quoted).rstrip(), *_source(path)])]
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
        "\n".join(["[run]", *_keys(Running(), commented=True)]),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _keys(section: BaseModel, *, commented: bool) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name == "detector":  # a section of its own
            continue
        mark = "# " if commented else ""
        yield f"{mark}{name} = {_toml(value)}{_comment(field)}"


def _source(path: str) -> Iterator[str]:
    """Give the keys of a folder, but for those that every source needs."""
    source = FolderConfig(path=path or ".")
    for name, field in FolderConfig.model_fields.items():
        if name not in ("kind", "path"):
            value = _EXAMPLES.get(name) or _toml(getattr(source, name))
            yield f"# {name} = {value}{_comment(field)}"


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
