"""Run folders as a training leaves them, written in no time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.runs.record import RUN_FILE, Metric, RunRecord

BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def write_run(
    models: Path,
    name: str,
    *,
    kimg: float = 2.0,
    grids: Sequence[float] = (),
    ticks: Sequence[Mapping[str, Any]] = (),
    metrics: Sequence[tuple[str, str, float]] = (),
    **record: Any,
) -> Path:
    """Write a run of version 1; `grids` are the places, in kimg, at which some were drawn."""
    folder = models / name
    (folder / "samples").mkdir(parents=True)
    names = [f"kimg-{at:010.3f}" for at in grids]
    for number, drawn in enumerate([*names, "reals"]):
        Image.fromarray(picture(number)).save(folder / "samples" / f"{drawn}.png")
    (folder / "ticks.jsonl").write_text("".join(f"{json.dumps(tick)}\n" for tick in ticks))
    fields: dict[str, Any] = {
        "dataset": "x",
        "version": 1,
        "version_hash": "v1",
        "inverted": False,
        "size": (16, 12),
        "status": "finished",
        "preset": "tiny",
        "cur_nimg": int(kimg * 1000),
        "total_kimg": kimg,
        "newest_grid": f"samples/{names[-1]}.png" if names else None,
        "metrics": [Metric(snapshot=s, name=n, value=v) for s, n, v in metrics],
        "started": BEGAN,
        "updated": BEGAN,
        "pid": 1,
    }
    (folder / RUN_FILE).write_text(RunRecord(**(fields | record)).model_dump_json())
    return folder


def picture(seed: int, size: tuple[int, int] = (900, 1200)) -> Any:
    """Draw noise in large squares: (H, W, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (size[0] // 100, size[1] // 100, 3), dtype=np.uint8)
    return small.repeat(100, axis=0).repeat(100, axis=1)


def tick(kimg: float, **losses: float | None) -> dict[str, Any]:
    """Give the figures of a tick, as they are written."""
    return {
        "cur_nimg": int(kimg * 1000),
        "kimg": kimg,
        "sec_per_kimg": 10.0 + kimg,
        "ada_p": 0.1,
        "losses": losses,
    }
