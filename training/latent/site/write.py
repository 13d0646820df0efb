"""Writes the site: pictures first, then the pages that show them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.images import Wish, Written, write_images
from training.latent.sampler import PLAIN, Sampler
from training.runs.files import write_atomically
from training.trained_on import Progress, silent

PICTURES: Final = "pictures"
_PAGES: Final = ("index.html", "random.html")
_ASSETS: Final = ("site.css", "site.js")
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class SiteWish:
    """What is shown.

    Attributes
    ----------
    title : str
        What does not exist: "sneaker".
    count : int
        Pictures.
    seed : int
        The first; others follow.
    truncation : Truncation
    label : int or None
        See `Sampler.w`.
    quality : int
        Of the JPEGs.
    """

    title: str
    count: int = 2000
    seed: int = 0
    truncation: Truncation = PLAIN
    label: int | None = None
    quality: int = 90


def write_site(
    sampler: Sampler, wish: SiteWish, folder: Path, *, progress: Progress = silent
) -> Written:
    """Write a site; started again, it goes on.

    Parameters
    ----------
    sampler
    wish
    folder
        Made if missing: `index.html`, `random.html`, their style and script, `pictures/`. It needs
        no server, and asks nobody else for anything.

    Raises
    ------
    SetupError
        If `count` is out of range, or the folder holds pictures of another wish.
    OSError
        If it cannot be written.
    """
    if not 1 <= wish.count <= _MOST:
        raise SetupError(f"`count` must be from 1 to {_MOST:,}, got {wish.count}")
    seeds = range(wish.seed, wish.seed + wish.count)
    pictures = Wish(seeds, wish.truncation, wish.label, form="jpeg", quality=wish.quality)
    written = write_images(sampler, pictures, folder / PICTURES, progress=progress)
    height, width = sampler.size
    environment = Environment(
        loader=PackageLoader("training.latent.site", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in _PAGES:
        text = environment.get_template(f"{name}.j2").render(
            title=wish.title, count=wish.count, seed=wish.seed, height=height, width=width
        )
        write_atomically(folder / name, text)
    for name in _ASSETS:
        text = (resources.files("training.latent.site") / name).read_text(encoding="utf-8")
        write_atomically(folder / name, text)
    return written
