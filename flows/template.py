"""The commented configuration that `nonesuch init` writes, made from the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from curation.grouping import DuplicateRules
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from curation.judging import Rules
from curation.recipe import Detector, Limits, Recipe
from flows.settings import Dataset, Publishing, Running

_HEAD = """\
# A dataset of Nonesuch. Every key is optional; commented ones show their default.
# Relative paths are relative to this file. docs/configuration.md says more.

[dataset]
name = {name}
root = {root}          # folder or fsspec URL (s3://bucket/folder)

[[sources]]
kind = "folder"                # folder | archive | webdataset | metadata
path = {path}
# metadata = "images.csv"      # optional, joined on the file's stem
"""


def render(name: str, root: str, path: str) -> str:
    """Write a configuration file with every key, its default and what it means.

    Parameters
    ----------
    name, root, path : str
        Name of the dataset, its root, and the folder of its first source.
    """
    quoted = {
        key: json.dumps(value, ensure_ascii=False)
        for key, value in (("name", name), ("root", root), ("path", path))
    }
    parts = [_HEAD.format(**quoted)]
    parts += [
        "\n".join(["[recipe]", *_keys(Recipe(), commented=False)]),
        "\n".join(
            [
                "# [recipe.detector]       # cut items out by one of OpenCV's cascades",
                *_keys(Detector(cascade="haarcascade_frontalface_default"), commented=True),
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
    assert Dataset(name=name, root=root)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _keys(section: BaseModel, *, commented: bool) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel) or (value is None and name == "detector"):
            continue
        mark = "# " if commented or value is None else ""
        yield f"{mark}{name} = {_toml(value)}{_comment(field)}"


def _rules(rules: Rules) -> Iterator[str]:
    for name in type(rules).model_fields:
        rule = getattr(rules, name)
        pairs = [f"{key} = {_toml(getattr(rule, key))}" for key in rule.bounds]
        pairs.append(f'action = "{rule.action}"')
        yield f"{name} = {{ {', '.join(pairs)} }}  # {rule.meaning}"


def _comment(field: FieldInfo) -> str:
    return f"  # {field.description}" if field.description else ""


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
