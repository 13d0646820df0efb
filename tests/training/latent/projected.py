"""Projected pictures as `project` leaves them, with ws that are known."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.latent.projection_files import ProjectionFacts


def put_projection(run: Path, name: str, ws: Tensor) -> Path:
    """Write a projected picture of these ws; give its folder."""
    folder = run / "projections" / name
    folder.mkdir(parents=True)
    own = ws.clone().contiguous()
    save_file({"ws": own, "start": own.clone(), "curve": torch.ones(1)}, folder / "ws.safetensors")
    facts = ProjectionFacts(
        name=name,
        source=f"{name}.png",
        sha256="0" * 64,
        snapshot="kimg-000000.032",
        version_hash="",
        inverted=True,
        perceiver="own",
        space="w+",
        steps=1,
        seed=0,
        start="mean",
        candidates=1,
        noise=False,
        start_distance=1.0,
        distance=0.5,
        distance_fixed_noise=0.5,
    )
    (folder / "facts.json").write_text(facts.model_dump_json())
    return folder
