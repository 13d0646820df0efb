"""Loops that never ran: the state of data, versions, trainings and models as a test wants it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from PIL import Image

from curation.synthetic.drawing import draw_product
from curation.synthetic.outlines import KINDS
from review_ui.loop import (
    BuildTold,
    Grid,
    LoopTold,
    ModelTold,
    RankingTold,
    RunDetails,
    RunTold,
    Series,
    VersionTold,
)

NOW = datetime.now(UTC).replace(microsecond=0)
AT = [0.0, 10.0, 20.0, 30.0]


def build(items: int = 31) -> BuildTold:
    """Give a build."""
    return BuildTold(
        id="build-1",
        built_at=NOW - timedelta(hours=3),
        items=items,
        accepted=items - 5,
        flagged=3,
        rejected=1,
        failed=1,
    )


def version(number: int, items: int = 20) -> VersionTold:
    """Give a published version; a higher number is a younger one."""
    at = NOW - timedelta(days=30 - number)
    return VersionTold(version=number, items=items, shards=1, published_at=at)


def run(
    name: str, status: str = "finished", kimg: float = 30.0, *, reason: str = "", pace: float = 9.5
) -> RunTold:
    """Give a training, named as the command line names it: vVERSION-PRESET."""
    number, _, preset = name.removeprefix("v").partition("-")
    return RunTold(
        name=name,
        version=int(number),
        preset=preset,
        status=status,
        is_alive=status == "running",
        reason=reason,
        kimg=kimg,
        total_kimg=30.0,
        sec_per_kimg=pace,
        metrics={"fd_own": 51.2, "kid_std_own": 0.01},
        grid=grid(name, kimg),
        started_at=NOW - timedelta(hours=2),
        updated_at=NOW - timedelta(minutes=4),
    )


def grid(name: str, kimg: float | None) -> Grid:
    """Give a grid of samples, or of real pictures."""
    identity = "reals" if kimg is None else f"kimg-{kimg:010.3f}"
    return Grid(id=identity, kimg=kimg, url=f"/runs/{name}/grids/{identity}?v=1")


def details(name: str) -> RunDetails:
    """Give what is drawn of a training."""

    def series(called: str, *values: float | None) -> Series:
        return Series(name=called, kimg=AT, values=list(values))

    return RunDetails(
        name=name,
        curves=[
            series("loss_G", 1.0, 1.4, None, 1.5),
            series("loss_D", 1.3, 0.9, 0.8, 0.7),
            series("ada_p", 0.0, 0.1, 0.2, 0.25),
        ],
        metrics=[series("fd_own", 240.0, 90.0, 49.5, 51.2)],
        grids=[*(grid(name, at) for at in AT), grid(name, None)],
    )


def model(name: str = "v1-tiny") -> ModelTold:
    """Give the model that a training has become."""
    return ModelTold(
        model=f"{name}@kimg-000030.000",
        runs=[name],
        version=1,
        kimg=30.0,
        registered_at=NOW - timedelta(days=1),
        is_current=True,
    )


def loop() -> LoopTold:
    """Give a loop that has gone round, of which the next training failed."""
    return LoopTold(
        build=build(),
        versions=[version(2), version(1)],
        runs=[
            run("v2-tiny", "failed", 12.0, reason="losses were not finite"),
            run("v1-tiny"),
        ],
        models=[model()],
        rankings=[
            RankingTold(
                scorer="discriminator",
                model=model().model,
                scored=28,
                ranked_at=NOW - timedelta(hours=20),
            )
        ],
        presets=["stylegan2-ada", "tiny"],
        preset="tiny",
    )


@cache
def sheet(seed: int = 0) -> bytes:
    """Draw a grid, as JPEG."""
    cells = [
        draw_product(np.random.default_rng(seed + n), list(KINDS)[n % len(KINDS)], (64, 48))
        for n in range(12)
    ]
    rows = [np.concatenate(cells[4 * row : 4 * row + 4], axis=1) for row in range(3)]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
