"""Projected pictures of a run: each a folder, written as a whole or not at all.

```
<run>/projections/<name>/
    target.png  start.png  end.png  what was wanted, where it began, what was found
    ws.safetensors                  ws, start (num_ws, w_dim), curve (steps,); facts in its header
    noises.safetensors              noise maps, where they were looked for
    facts.json                      see `ProjectionFacts`
```
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.errors import SetupError
from training.latent.descent import Descent, Space, Start
from training.latent.perceptual import JudgedPerceiver, Perceiver
from training.latent.project import DEFAULT, Projected, never, project
from training.latent.sampler import Sampler
from training.latent.targets import Target
from training.runs.files import write_atomically
from training.trained_on import Progress, silent
from training.watch.grids import Pixels

FOLDER: Final = "projections"
PICTURES: Final = ("target.png", "start.png", "end.png")

_UNFINISHED: Final = ".unfinished"
_NAMES: Final = "names.json"
_WS, _NOISES, _FACTS = "ws.safetensors", "noises.safetensors", "facts.json"
_LONGEST: Final = 40  # characters of a file's name that go into that of a folder


class ProjectionFacts(BaseModel):
    """How a picture was projected, and how near it came.

    Distances are those of `perceiver`, which is D's measure or LPIPS; they are compared under one
    name only.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    source: str
    sha256: str
    snapshot: str
    version_hash: str
    inverted: bool
    perceiver: str
    space: Space
    steps: int
    seed: int
    start: Start
    candidates: int
    noise: bool
    start_distance: float
    distance: float
    distance_fixed_noise: float


@dataclass(frozen=True, slots=True)
class Projection:
    """A projected picture.

    Attributes
    ----------
    path : Path
        Its folder; `PICTURES` are in it.
    facts : ProjectionFacts
    ws, start_ws : Tensor of shape (num_ws, w_dim)
        What was found, and where it began; float32, on the CPU.
    curve : Tensor of shape (steps,)
        Distance at every step.
    """

    path: Path
    facts: ProjectionFacts
    ws: Tensor
    start_ws: Tensor
    curve: Tensor


@dataclass(frozen=True, slots=True)
class Kept:
    """What `project_into` did.

    Attributes
    ----------
    names : tuple of str
        Of the pictures, in their order, each once; those that were stopped are left out.
    already : tuple of str
        Those of them that were there before.
    """

    names: tuple[str, ...]
    already: tuple[str, ...]


def project_into(
    run: Path,
    sampler: Sampler,
    targets: Sequence[Target],
    how: Descent = DEFAULT,
    *,
    perceiver: Perceiver | None = None,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = never,
    save_every: int = 50,
) -> Kept:
    """Project pictures and keep what comes of it with the run.

    What is there already is not done again. What was interrupted is gone on with, and ends as if it
    had not been.

    Parameters
    ----------
    run
        Its folder.
    sampler
        Of a snapshot of it.
    targets
        As `open_target` gives them, for the model's size.
    how, perceiver, progress, should_stop, save_every
        See `project`.

    Raises
    ------
    SetupError
        If the pictures are of another size.
    OSError
        If something cannot be written.
    """
    perceiver = JudgedPerceiver(sampler.model) if perceiver is None else perceiver
    wanted = {name_of(target, sampler, how, perceiver): target for target in targets}
    folder = run / FOLDER
    already = [name for name in wanted if (folder / name).is_dir()]
    parts = list(_parts(folder, list(wanted), set(already), sampler.batch))
    for number, names in enumerate(parts):

        def tell(what: str, done: int, total: int, number: int = number) -> None:
            progress(what, number * total + done, len(parts) * total)

        state = folder / _UNFINISHED / _digest(names)
        state.mkdir(parents=True, exist_ok=True)
        write_atomically(state / _NAMES, json.dumps(names))
        pixels = np.stack([wanted[name].pixels for name in names])
        found = project(
            sampler,
            pixels,
            how,
            perceiver=perceiver,
            progress=tell,
            should_stop=should_stop,
            state=state,
            save_every=save_every,
        )
        if not found.complete:
            break
        _save_all(folder, sampler, how, names, [wanted[name] for name in names], found)
        shutil.rmtree(state, ignore_errors=True)
    there = tuple(name for name in wanted if (folder / name).is_dir())
    return Kept(there, tuple(already))


def name_of(target: Target, sampler: Sampler, how: Descent, perceiver: Perceiver) -> str:
    """Name the projection of a picture: another one for other contents or other settings.

    Returns
    -------
    str
        Letters, digits, `.`, `_` and `-` of ASCII, beginning with a letter or digit.
    """
    model = sampler.model
    settings = sorted(asdict(how).items())
    own = (target.sha256, model.name, model.version_hash, perceiver.name, settings)
    stem = unicodedata.normalize("NFKD", Path(target.source).stem).encode("ascii", "ignore")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem.decode()).strip("-_")[:_LONGEST] or "picture"
    space = "wplus" if how.space == "w+" else how.space
    return f"{plain}-{space}-{_digest([repr(own)])}"


def load_projection(run: Path, name: str) -> Projection:
    """Load a projected picture of a run.

    Raises
    ------
    SetupError
        If there is none of that name, or it is damaged.
    """
    path = run / FOLDER / name
    if name not in _names(run):  # so no name leads out of the folder, either
        told = ", ".join(_names(run)[:20]) or "none: make some with `nonesuch latent project`"
        raise SetupError(f"{run} has no projected picture {name!r}; it has {told}")
    try:
        facts = ProjectionFacts.model_validate_json((path / _FACTS).read_text(encoding="utf-8"))
        tensors = load_file(path / _WS)
        ws, start, curve = (tensors[key].clone() for key in ("ws", "start", "curve"))
    except (OSError, ValidationError, SafetensorError, KeyError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())[:200]
        raise SetupError(
            f"{path} is damaged: {told}; remove it and project the picture again"
        ) from error
    return Projection(path, facts, ws, start, curve)


def list_projections(run: Path) -> tuple[ProjectionFacts, ...]:
    """Tell which pictures of a run are projected, by name; what cannot be read is left out."""
    found = []
    for name in _names(run):
        try:
            text = (run / FOLDER / name / _FACTS).read_text(encoding="utf-8")
            found.append(ProjectionFacts.model_validate_json(text))
        except (OSError, ValidationError, UnicodeDecodeError):
            continue
    return tuple(found)


def _names(run: Path) -> list[str]:
    files = (run / FOLDER).glob(f"*/{_FACTS}")
    return sorted(file.parent.name for file in files if not file.parent.name.startswith("."))


def _parts(folder: Path, names: list[str], there: set[str], size: int) -> Iterator[list[str]]:
    """Give what is projected together: first what was before, so that it ends as it would have."""
    begun: set[str] = set()
    for file in sorted((folder / _UNFINISHED).glob(f"*/{_NAMES}")):
        part = json.loads(file.read_text(encoding="utf-8"))
        if set(part) <= set(names) and not begun & set(part):
            begun |= set(part)
            yield part
    rest = [name for name in names if name not in begun | there]
    for at in range(0, len(rest), size):
        yield rest[at : at + size]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def _save_all(
    folder: Path,
    sampler: Sampler,
    how: Descent,
    names: Sequence[str],
    targets: Sequence[Target],
    found: Projected,
) -> None:
    model = sampler.model
    noises = [noise.to(sampler.device) for noise in found.noises]
    starts = sampler.render(found.start_ws.to(sampler.device))
    ends = sampler.render(found.ws.to(sampler.device), noises)
    for row, (name, target) in enumerate(zip(names, targets, strict=True)):
        facts = ProjectionFacts(
            name=name,
            source=target.source,
            sha256=target.sha256,
            snapshot=model.name,
            version_hash=model.version_hash,
            inverted=model.inverted,
            perceiver=found.perceiver,
            **asdict(how),
            start_distance=float(found.start[row]),
            distance=float(found.end[row]),
            distance_fixed_noise=float(found.end_fixed[row]),
        )
        tensors = {"ws": found.ws[row], "start": found.start_ws[row], "curve": found.curve[row]}
        maps = {f"noise.{i}": noise[row] for i, noise in enumerate(found.noises)}
        _save(folder / name, facts, tensors, maps, (target.pixels, starts[row], ends[row]))


def _save(
    path: Path,
    facts: ProjectionFacts,
    tensors: dict[str, Tensor],
    maps: dict[str, Tensor],
    pictures: Sequence[Pixels],
) -> None:
    if path.is_dir():
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, pixels in zip(PICTURES, pictures, strict=True):
        Image.fromarray(pixels).save(partial / name)
    header = {"facts": facts.model_dump_json()}  # one entry: the library orders them by chance
    save_file({key: t.contiguous() for key, t in tensors.items()}, partial / _WS, header)
    if facts.noise:
        save_file({key: t.contiguous() for key, t in maps.items()}, partial / _NOISES)
    write_atomically(partial / _FACTS, facts.model_dump_json(indent=1) + "\n")
    try:
        partial.rename(path)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not path.is_dir():  # else another process has made the same
            raise
