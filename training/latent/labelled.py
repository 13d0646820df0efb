"""Tags that people gave, read from a file, with the ws of what they looked at.

A CSV file has a column `tag`, and `seed` for samples or `name` for projected pictures; a file of
JSON lines has the same keys. A row for each tag; an empty tag says that a picture was looked at and
has none.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from training.errors import SetupError
from training.latent.draws import MAX_SEED
from training.latent.projection_files import load_projection
from training.latent.sampler import Sampler

_LARGEST: Final = 64 << 20  # bytes
_LINES: Final = (".jsonl", ".ndjson", ".json")
_LONGEST: Final = 100  # characters of a tag


@dataclass(frozen=True, slots=True)
class TagRow:
    """A tag of a picture.

    Attributes
    ----------
    key : int or str
        Seed of a sample, or name of a projected picture.
    tag : str
        Empty: it has none.
    """

    key: int | str
    tag: str


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures that people have tagged.

    Attributes
    ----------
    w : Tensor of shape (N, w_dim)
    tags : tuple of frozenset of str
        Those of each picture.
    """

    w: Tensor
    tags: tuple[frozenset[str], ...]

    @property
    def names(self) -> list[str]:
        """All tags, sorted."""
        return sorted(frozenset().union(*self.tags))


def read_tags(path: Path) -> list[TagRow]:
    """Read a file of tags.

    Raises
    ------
    SetupError
        If it cannot be read, is above 64 MB, or a row is not as it must be; names the line.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise SetupError(f"{path} must have at most {_LARGEST >> 20} MB; give a smaller file")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}; give a file of tags") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8: {error}; save it as UTF-8") from error
    rows = _json_rows(path, text) if path.suffix.lower() in _LINES else _csv_rows(path, text)
    found = [_row(values, f"{path}, line {line}") for line, values in rows]
    if not found:
        raise SetupError(f"{path} must have rows of `seed,tag` or `name,tag`, has none")
    return found


def find_examples(
    sampler: Sampler, run: Path, rows: Sequence[TagRow], label: int | None = None
) -> Examples:
    """Find the ws of tagged pictures, in the order in which they come first.

    Parameters
    ----------
    sampler
    run
        Folder of the run, with its projected pictures.
    rows
        Of one or of both kinds.
    label
        Class that samples were made with; None: that of each seed.

    Raises
    ------
    SetupError
        If there is no such projected picture.
    """
    tags: dict[int | str, set[str]] = {}
    for row in rows:
        tags.setdefault(row.key, set()).update([row.tag] if row.tag else [])
    seeds = [key for key in tags if isinstance(key, int)]
    names = [key for key in tags if isinstance(key, str)]
    keys: list[int | str] = [*seeds, *names]
    sampled = [sampler.w(seeds, label).cpu()] if seeds else []
    projected = [projected_ws(run, name, sampler).mean(0, keepdim=True) for name in names]
    return Examples(
        torch.cat([*sampled, *projected]),
        tuple(frozenset(tags[key]) for key in keys),
    )


def projected_ws(run: Path, name: str, sampler: Sampler) -> Tensor:
    """Read the ws of a projected picture, (num_ws, w_dim), on the CPU.

    Raises
    ------
    SetupError
        If there is none of that name, it is damaged, or of another model.
    """
    found = load_projection(run, name)
    ws = found.ws.float()
    if ws.shape != (sampler.num_ws, sampler.w_dim) or not bool(ws.isfinite().all()):
        raise SetupError(
            f"{found.path} must hold finite `ws` of shape {(sampler.num_ws, sampler.w_dim)}, has "
            f"{tuple(ws.shape)}; project the picture again with this model"
        )
    return ws


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    columns = table.fieldnames or ()
    if "tag" not in columns or not {"seed", "name"} & set(columns):
        raise SetupError(
            f"{path} must begin with a line `seed,tag` or `name,tag`, "
            f"begins with {','.join(columns)[:80]!r}"
        )
    try:
        for values in table:
            yield table.line_num, values
    except csv.Error as error:
        raise SetupError(f"{path}, line {table.line_num}, is not CSV: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SetupError(
                f'{path}, line {number}, must be like {{"seed": 7, "tag": "red"}}: {error}'
            ) from error
        yield number, values if isinstance(values, dict) else {}


def _row(values: Mapping[str, Any], where: str) -> TagRow:
    tag = values.get("tag")
    tag = "" if tag is None else str(tag).strip()
    if len(tag) > _LONGEST or not tag.isprintable():
        raise SetupError(f"{where}: `tag` must be at most {_LONGEST} printable characters")
    seed, name = values.get("seed"), values.get("name")
    if seed not in (None, ""):
        written = str(seed).strip()
        if not (written.isascii() and written.isdecimal() and int(written) <= MAX_SEED):
            raise SetupError(f"{where}: `seed` must be a whole number from 0, got {written[:40]!r}")
        return TagRow(int(written), tag)
    if not isinstance(name, str) or not name.strip():
        raise SetupError(f"{where}: a `seed` or a `name` must be given, got neither")
    return TagRow(name.strip(), tag)
