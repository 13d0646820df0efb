"""Folders of runs, as training leaves them, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from training.presets import resolve
from training.runs.folder import RunFolder, VersionFacts


def make_run(
    path: Path,
    *,
    version: int = 1,
    seed: int = 0,
    kimg: Sequence[int] = (0, 1, 2),
    figures: Sequence[float] = (40.0, 20.0, 10.0, 5.0),
    colour: tuple[int, int, int] = (200, 30, 30),
    status: str = "finished",
    reason: str = "",
) -> Path:
    """Make a run with a grid at each of `kimg`, and a tick and a metric at all but the first."""
    config = resolve("tiny", {"run": {"device": "cpu", "seed": seed}}, size=(16, 12), gpus=1)
    facts = VersionFacts(
        dataset="x", version=version, version_hash="h", inverted=False, size=(16, 12)
    )
    folder = RunFolder(path)
    folder.write_config(config, facts)
    folder.begin(config, facts)
    Image.new("RGB", (60, 40), (128, 128, 128)).save(folder.samples / "reals.png")
    for number, at in enumerate(kimg):
        name = f"kimg-{at:06d}.000"
        Image.new("RGB", (60, 40), colour).save(folder.samples / f"{name}.png")
        if number:
            folder.add_metrics(name, {"fd_own": figures[number - 1]})
            row = {
                "cur_nimg": at * 1000,
                "kimg": float(at),
                "sec_per_kimg": number * 10.0,
                "losses": {"loss_G": float(number)},
            }
            with folder.ticks.open("a") as file:
                file.write(json.dumps(row) + "\n")
    last = max(kimg)
    folder.update(status=status, reason=reason, cur_nimg=last * 1000, total_kimg=float(last))
    return path
