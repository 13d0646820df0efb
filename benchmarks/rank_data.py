"""The pictures of `make bench-rank`: a dirty set as a published version, and a clean one beside it.

The dirty set holds photographs and, hidden among them, planted defects; the clean one holds other
photographs and is never trained on. A sample's key is the hash of its bytes and samples lie in the
order of their keys, so that nothing but pixels tells what was planted.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import rank_plantings
from benchmarks.common import Skipped, photographs, say
from benchmarks.planting import from_jpeg, to_jpeg
from curation.item import process
from curation.recipe import Limits, Recipe
from data_catalog.shards import Sample, ShardWriter
from data_catalog.storage import Root

SOUND: Final = "sound"
FACTS: Final = "facts.json"

_JPEG: Final = 90
_META: Final = b'{"label":null,"tags":[]}'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the pictures depend on.

    Attributes
    ----------
    size : tuple of int
        Height and width, px.
    pictures : int
        In the dirty set.
    share : float
        Of them that are planted.
    foreign : str
        Label of the photographs that stand for a wrong category.
    seed : int
    """

    size: tuple[int, int]
    pictures: int
    share: float
    foreign: str
    seed: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a picture of the dirty set, by its key.

    Attributes
    ----------
    key : str
    kind : str
        Of what was planted; "sound" if nothing was.
    sharpness : float or None
        As `curation.measures.sharpness` has it.
    """

    key: str
    kind: str
    sharpness: float | None


@dataclass(frozen=True, slots=True)
class _Picture:
    fact: Fact
    data: bytes


def prepare(folder: Path, wanted: Wanted) -> list[Fact]:
    """Write `dirty/` and `clean/` below `folder`, if they are not there; gives what was planted.

    Raises
    ------
    Skipped
        If there are no photographs, or too few for what is asked.
    """
    facts = folder / FACTS
    if facts.is_file():
        return [Fact(**row) for row in json.loads(facts.read_text(encoding="utf-8"))]
    for part in ("dirty", "clean"):
        shutil.rmtree(folder / part, ignore_errors=True)
    rng = np.random.default_rng(wanted.seed)
    jobs, held_out = _choose(wanted, rng)
    say(
        f"standardizing {len(jobs):,} photographs to train on and {len(held_out):,} to compare with"
    )
    dirty = _unique(_standardized(jobs, wanted, rng))
    write_version(folder / "dirty", dirty, wanted.size)
    clean = _unique(_standardized([(path, SOUND) for path in held_out], wanted, rng))
    write_version(folder / "clean", clean, wanted.size)
    found = sorted((picture.fact for picture in dirty), key=lambda fact: fact.key)
    part = facts.with_suffix(".part")
    part.write_text(json.dumps([asdict(fact) for fact in found]), encoding="utf-8")
    part.replace(facts)
    return found


def _choose(wanted: Wanted, rng: np.random.Generator) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Draw photographs without replacement: those to plant into, sound ones, and held-out ones."""
    labels = _labels()
    own = [path for path in photographs() if labels.get(path.stem) != wanted.foreign]
    foreign = [path for path in photographs() if labels.get(path.stem) == wanted.foreign]
    each = rank_plantings.counts(wanted.pictures, wanted.share)
    home = wanted.pictures - each[rank_plantings.CATEGORY]
    if len(foreign) < each[rank_plantings.CATEGORY] or len(own) < home + 2:
        raise Skipped(
            f"{wanted.pictures:,} pictures need {home + 2:,} photographs and "
            f"{each[rank_plantings.CATEGORY]} with the label `{wanted.foreign}`; there are "
            f"{len(own):,} and {len(foreign):,}; ask for fewer (--pictures)"
        )
    drawn = [own[int(i)] for i in rng.permutation(len(own))]
    strangers = iter(foreign[int(i)] for i in rng.permutation(len(foreign)))
    residents = iter(drawn[:home])
    kinds = [kind for kind, count in each.items() for _ in range(count)]
    kinds += [SOUND] * (wanted.pictures - len(kinds))
    jobs = [
        (next(strangers if kind == rank_plantings.CATEGORY else residents), kind) for kind in kinds
    ]
    return jobs, drawn[home:]


def _labels() -> dict[str, str]:
    """Labels by the names of photographs without their suffix."""
    table = photographs()[0].parents[1] / "images.csv"
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return {row["image"]: row["label"] for row in csv.DictReader(file)}
    except OSError as error:
        raise Skipped(f"{table}, which has the labels, cannot be read: {error}") from error


def _standardized(
    jobs: Iterable[tuple[Path, str]], wanted: Wanted, rng: np.random.Generator
) -> Iterator[_Picture]:
    """Plant, encode and standardize as a rebuild does: sound pictures go the very same way."""
    height, width = wanted.size
    recipe, limits = Recipe(width=width, height=height, invert="never"), Limits()
    for path, kind in jobs:
        rgb = from_jpeg(path.read_bytes())
        if kind != SOUND:
            rgb = rank_plantings.KINDS[kind](rgb, rng)
        (item,) = process(path.stem, to_jpeg(rgb, _JPEG), recipe, limits)
        assert item.image is not None, item.row
        key = hashlib.sha256(item.image).hexdigest()
        yield _Picture(Fact(key, kind, item.row["sharpness"]), item.image)


def _unique(pictures: Iterable[_Picture]) -> list[_Picture]:
    """Drop pictures that became equal to an earlier one: keys are hashes of their bytes."""
    return list({picture.fact.key: picture for picture in pictures}.values())


def write_version(folder: Path, pictures: Sequence[_Picture], size: tuple[int, int]) -> None:
    """Write pictures as a version's folder, in the order of their keys."""
    samples = ((p.fact.key, p.data) for p in sorted(pictures, key=lambda p: p.fact.key))
    _write(folder, samples, size)


def copy_without(source: Path, folder: Path, left_out: set[str]) -> None:
    """Write a version again without some of its samples, if it is not there."""
    if (folder / "manifest.json").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    kept = (row for row in read_samples(source) if row[0] not in left_out)
    _write(folder, kept, (manifest["height"], manifest["width"]))


def read_samples(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give key and encoded picture of every sample of a version."""
    from data_catalog.shards import read_samples as read

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    names = [(shard["name"], None) for shard in manifest["shards"]]
    for sample in read(Root(folder / "shards"), names):
        yield sample.key, sample.image


def _write(folder: Path, samples: Iterable[tuple[str, bytes]], size: tuple[int, int]) -> None:
    (folder / "shards").mkdir(parents=True)
    digest, count = hashlib.sha256(), 0
    with ShardWriter(Root(folder / "shards"), samples_per_shard=1000) as writer:
        for key, data in samples:
            writer.add(Sample(key, "jpg", data, _META))
            digest.update(key.encode())
            count += 1
    manifest = {
        "version": 1,
        "hash": digest.hexdigest(),
        "items": count,
        "labels": {},
        "inverted": False,
        "height": size[0],
        "width": size[1],
        "shards": [asdict(shard) for shard in writer.shards],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
