"""Samples by the thousand, as files or as shards; what is there already is not made again."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from training.data.processes import usable_processors
from training.errors import SetupError
from training.latent.draws import NoiseKind, Truncation
from training.latent.encode import QUALITY, SUFFIX, Format, encode
from training.latent.sampler import PLAIN, Sampler
from training.runs.files import write_atomically
from training.trained_on import Progress, silent

FACTS_FILE: Final = "samples.json"
"""In the folder: what all pictures have in common."""

_AHEAD: Final = 8  # batches that may wait to be encoded and written


@dataclass(frozen=True, slots=True)
class Wish:
    """Which pictures.

    Attributes
    ----------
    seeds : sequence of int
        Each is made once.
    truncation : Truncation
    label : int or None
        See `Sampler.w`.
    noise : str
        See `NoiseKind`.
    form : str
        `png` or `jpeg`.
    quality : int
        Of JPEGs.
    shard : int or None
        Pictures in a WebDataset shard; None: a file each.
    """

    seeds: Sequence[int]
    truncation: Truncation = PLAIN
    label: int | None = None
    noise: NoiseKind = "fixed"
    form: Format = "png"
    quality: int = QUALITY
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a wish.

    Attributes
    ----------
    folder : Path
    made, there : int
        Pictures that were made now, and those that were there.
    files : int
        Pictures, or shards.
    """

    folder: Path
    made: int
    there: int
    files: int


def write_images(
    sampler: Sampler, wish: Wish, folder: Path, *, progress: Progress = silent
) -> Written:
    """Make pictures and write them; started again with the same wish, it goes on.

    Pictures are encoded and written by threads while the next ones are made. Each file appears
    whole: `seed00000007.png`, or `samples-000000.tar` with the pictures and a JSON file each.

    Parameters
    ----------
    sampler
    wish
    folder
        Made if missing.
    progress
        Told of "pictures".

    Raises
    ------
    SetupError
        If the folder holds pictures of another wish.
    OSError
        If they cannot be written.
    """
    common = _common(sampler, wish)
    _claim(folder, {**common, **_form(wish)})
    seeds = wish.seeds if isinstance(wish.seeds, range) else list(dict.fromkeys(wish.seeds))
    with ThreadPoolExecutor(usable_processors()) as pool:
        work = _Work(sampler, wish, common, folder, pool)
        for _ in work.shards(seeds) if wish.shard else work.single(seeds):
            progress("pictures", work.made + work.there, len(seeds))
    return Written(folder, work.made, work.there, -(-len(seeds) // (wish.shard or 1)))


class _Work:
    """Has pictures made, encoded and put where they belong, a few batches at a time.

    Attributes
    ----------
    made, there : int
        Pictures that were made, and those that were there, so far.
    """

    def __init__(
        self,
        sampler: Sampler,
        wish: Wish,
        common: Mapping[str, Any],
        folder: Path,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._sampler, self._wish, self._common = sampler, wish, common
        self._folder, self._pool = folder, pool
        self.made = self.there = 0

    def single(self, seeds: Sequence[int]) -> Iterator[None]:
        """Write a file for each seed; yield whenever one is there."""
        written: deque[Future[None]] = deque()
        for seed, encoded in self._encoded(self._missing(seeds)):
            written.append(self._pool.submit(_put, self._path(seed), encoded))
            while written and (written[0].done() or len(written) > _AHEAD * self._sampler.batch):
                written.popleft().result()
                self.made += 1
                yield
        for one in written:
            one.result()
            self.made += 1
            yield

    def shards(self, seeds: Sequence[int]) -> Iterator[None]:
        """Write a shard for each so many seeds; yield whenever a picture is in one."""
        size = self._wish.shard
        assert size is not None
        starts = range(0, len(seeds), size)
        parts = [
            (self._folder / f"samples-{number:06d}.tar", seeds[start : start + size])
            for number, start in enumerate(starts)
        ]
        missing = [(path, part) for path, part in parts if not path.exists()]
        self.there = len(seeds) - sum(len(part) for _, part in missing)
        stream = self._encoded(seed for _, part in missing for seed in part)
        for path, part in missing:
            partial = path.with_name(f".{path.name}.part")
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for seed, encoded in islice(stream, len(part)):
                    self._add(tar, seed, encoded.result())
                    self.made += 1
                    yield
            partial.replace(path)

    def _missing(self, seeds: Sequence[int]) -> Iterator[int]:
        for seed in seeds:
            if self._path(seed).exists():
                self.there += 1
            else:
                yield seed

    def _path(self, seed: int) -> Path:
        return self._folder / f"{_stem(seed)}{SUFFIX[self._wish.form]}"

    def _add(self, tar: tarfile.TarFile, seed: int, data: bytes) -> None:
        facts = json.dumps({**self._common, "seed": seed}, sort_keys=True).encode()
        for suffix, content in ((SUFFIX[self._wish.form], data), (".json", facts)):
            member = tarfile.TarInfo(f"{_stem(seed)}{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def _encoded(self, seeds: Iterable[int]) -> Iterator[tuple[int, Future[bytes]]]:
        """Yield pictures in their order while later ones are made; a few batches wait at most."""
        sampler, wish = self._sampler, self._wish
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        for part, pixels in sampler.pictures(
            seeds, wish.truncation, label=wish.label, noise=wish.noise
        ):
            for seed, picture in zip(part, pixels, strict=True):
                facts = {**self._common, "seed": seed}
                encoding = self._pool.submit(
                    encode, picture, wish.form, facts, quality=wish.quality
                )
                waiting.append((seed, encoding))
            while len(waiting) > _AHEAD * sampler.batch:
                yield waiting.popleft()
        yield from waiting


def _put(path: Path, encoded: Future[bytes]) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(encoded.result())
    partial.replace(path)


def _common(sampler: Sampler, wish: Wish) -> dict[str, Any]:
    model = sampler.model
    return {
        "run": model.path.parent.parent.name,
        "snapshot": model.name,
        "version_hash": model.version_hash,
        "psi": wish.truncation.psi,
        "cutoff": wish.truncation.cutoff,
        "z_limit": wish.truncation.z_limit,
        "label": None if wish.label is None else model.labels[wish.label],
        "noise": wish.noise,
    }


def _form(wish: Wish) -> dict[str, Any]:
    """Say how pictures lie in a folder, as far as they cannot lie beside those of another wish."""
    form: dict[str, Any] = {"quality": wish.quality} if wish.form == "jpeg" else {}
    if wish.shard is not None:
        seeds = hashlib.sha256()
        for seed in wish.seeds:
            seeds.update(seed.to_bytes(8, "little"))
        form |= {"shard": wish.shard, "format": wish.form, "seeds": seeds.hexdigest()[:16]}
    return form


def _claim(folder: Path, common: Mapping[str, Any]) -> None:
    """Make the folder one of these pictures; refuse one of others."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FACTS_FILE
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_atomically(file, json.dumps(dict(common), indent=2, sort_keys=True) + "\n")
        return
    except ValueError:
        there = {}
    known = there if isinstance(there, dict) else {}
    for key in dict.fromkeys((*common, *known)):
        if known.get(key) != common.get(key):
            raise SetupError(
                f"{folder} holds pictures with `{key}` {known.get(key)!r}, not "
                f"{common.get(key)!r}; "
                "write to another folder (--out)"
            )


def _stem(seed: int) -> str:
    return f"seed{seed:08d}"
