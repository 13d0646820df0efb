"""Samples by the thousand, as files or as shards; what is there already is not made again."""

from __future__ import annotations

import io
import json
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
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
        Each once.
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
    _claim(folder, common)
    seeds = list(dict.fromkeys(wish.seeds))
    parts = [seeds[at : at + (wish.shard or 1)] for at in range(0, len(seeds), wish.shard or 1)]
    paths = [folder / _name(number, part, wish) for number, part in enumerate(parts)]
    missing = [(path, part) for path, part in zip(paths, parts, strict=True) if not path.exists()]
    wanted = [seed for _, part in missing for seed in part]
    with ExitStack() as stack:
        files = _Files(wish, common, stack.enter_context(ThreadPoolExecutor(usable_processors())))
        there = len(seeds) - len(wanted)
        for done in files.write(sampler, missing):
            progress("pictures", there + done, len(seeds))
    return Written(folder, len(wanted), there, len(parts))


class _Files:
    """Encodes what is made, and puts it where it belongs."""

    def __init__(self, wish: Wish, common: Mapping[str, Any], pool: ThreadPoolExecutor) -> None:
        self._wish, self._common, self._pool = wish, common, pool

    def write(
        self, sampler: Sampler, missing: Sequence[tuple[Path, Sequence[int]]]
    ) -> Iterator[int]:
        """Make and write; yield how many pictures are in files that are whole."""
        if self._wish.shard is None:
            yield from self._single(sampler, missing)
        else:
            yield from self._shards(sampler, missing)

    def _single(
        self, sampler: Sampler, missing: Sequence[tuple[Path, Sequence[int]]]
    ) -> Iterator[int]:
        places = {part[0]: path for path, part in missing}
        written: deque[Future[None]] = deque()
        done = 0
        for seed, encoded in self._encoded(sampler, places):
            written.append(self._pool.submit(_put, places[seed], encoded))
            while written and (written[0].done() or len(written) > _AHEAD * sampler.batch):
                written.popleft().result()
                done += 1
                yield done
        for one in written:
            one.result()
            done += 1
            yield done

    def _shards(
        self, sampler: Sampler, missing: Sequence[tuple[Path, Sequence[int]]]
    ) -> Iterator[int]:
        done = 0
        stream = self._encoded(sampler, [seed for _, part in missing for seed in part])
        for path, part in missing:
            partial = path.with_name(f".{path.name}.part")
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for _ in part:
                    seed, encoded = next(stream)
                    self._add(tar, seed, encoded.result())
                    done += 1
                    yield done
            partial.replace(path)

    def _add(self, tar: tarfile.TarFile, seed: int, data: bytes) -> None:
        facts = json.dumps({**self._common, "seed": seed}, sort_keys=True).encode()
        for suffix, content in ((SUFFIX[self._wish.form], data), (".json", facts)):
            member = tarfile.TarInfo(f"{_stem(seed)}{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def _encoded(
        self, sampler: Sampler, seeds: Iterable[int]
    ) -> Iterator[tuple[int, Future[bytes]]]:
        """Yield pictures in their order while later ones are made; a few batches wait at most."""
        wish = self._wish
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
    for key, value in common.items():
        known = there.get(key) if isinstance(there, dict) else None
        if known != value:
            raise SetupError(
                f"{folder} holds pictures with `{key}` {known!r}, not {value!r}; "
                "write to another folder (--out)"
            )


def _name(number: int, seeds: Sequence[int], wish: Wish) -> str:
    if wish.shard is None:
        return f"{_stem(seeds[0])}{SUFFIX[wish.form]}"
    return f"samples-{number:06d}.tar"


def _stem(seed: int) -> str:
    return f"seed{seed:08d}"
