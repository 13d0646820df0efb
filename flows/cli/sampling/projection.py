"""`nonesuch latent project`: the latents of real pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, complain
from flows.cli.sampling.common import (
    BatchOption,
    DeviceOption,
    OutOption,
    RunArgument,
    SeedOption,
    SnapshotOption,
    Workbench,
    show,
    with_run,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.latent.perceptual import Perceiver
    from training.latent.projection_files import Kept, Projection
    from training.latent.targets import Target


class SpaceName(StrEnum):
    """How many w a picture has."""

    W = "w"
    W_PLUS = "w+"


class StartName(StrEnum):
    """Where a projection begins."""

    MEAN = "mean"
    BEST = "best"


def project(
    run: RunArgument,
    files: Annotated[list[Path], typer.Argument(help="Pictures: JPEG, PNG, WebP, GIF, BMP, TIFF.")],
    space: Annotated[
        SpaceName, typer.Option(help="w: one for all layers; w+: one for each, twice the steps.")
    ] = SpaceName.W,
    steps: Annotated[int, typer.Option(min=1, help="In each space; published: 1000.")] = 300,
    seed: SeedOption = 0,
    start: Annotated[
        StartName, typer.Option(help="mean: the mean w; best: the nearest of many samples.")
    ] = StartName.BEST,
    candidates: Annotated[int, typer.Option(min=1, help="Samples that `best` looks at.")] = 1000,
    noise: Annotated[
        bool, typer.Option("--noise", help="Look for noise maps, too; otherwise the fixed ones.")
    ] = False,
    lpips: Annotated[
        Path | None, typer.Option(help="File with the weights of LPIPS; otherwise D measures.")
    ] = None,
    batch: BatchOption = 8,
    snapshot: SnapshotOption = None,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find the latents whose pictures come nearest to given ones; run again, it goes on."""
    failed: list[dict[str, str]] = []

    def work(bench: Workbench) -> None:
        from training.latent.descent import Descent
        from training.latent.projection_files import load_projection, project_into

        how = Descent(space.value, steps, seed, start.value, candidates, noise)
        perceiver = _perceiver(bench, lpips)
        targets, bad = _opened(files, bench.sampler.size)
        failed.extend(bad)
        if not targets:
            _show(bench, None, [], failed, None, as_json)
            return
        kept = project_into(
            bench.run, bench.sampler, targets, how, perceiver=perceiver, progress=bench.progress
        )
        found = [load_projection(bench.run, name) for name in kept.names]
        sheet = _draw(bench, found, out)
        _show(bench, kept, found, failed, sheet, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)
    if failed:
        raise typer.Exit(1)


def _perceiver(bench: Workbench, lpips: Path | None) -> Perceiver:
    from training.latent.perceptual import JudgedPerceiver, LpipsPerceiver

    model = bench.sampler.model
    return JudgedPerceiver(model) if lpips is None else LpipsPerceiver(lpips, model)


def _opened(
    files: Sequence[Path], size: tuple[int, int]
) -> tuple[list[Target], list[dict[str, str]]]:
    """Read pictures; tell at once of those that cannot be, and go on."""
    from training.errors import SetupError
    from training.latent.targets import open_target

    targets, failed = [], []
    for file in files:
        try:
            targets.append(open_target(file, size))
        except SetupError as error:
            complain(f"error: {error}")
            failed.append({"file": str(file), "error": str(error)})
    return targets, failed


def _draw(bench: Workbench, found: Sequence[Projection], out: Path | None) -> Path:
    import hashlib

    from training.latent.projection_sheet import projection_sheet
    from training.watch.grids import save_png

    names = "\n".join(one.facts.name for one in found)
    own = hashlib.sha256(names.encode()).hexdigest()[:8]
    path = bench.out(out, f"projections-{bench.snapshot}-{own}.png")
    save_png(projection_sheet(found), path)
    return path


def _show(
    bench: Workbench,
    kept: Kept | None,
    found: Sequence[Projection],
    failed: Sequence[dict[str, str]],
    sheet: Path | None,
    as_json: bool,
) -> None:
    from training.latent.projection_files import FOLDER
    from training.latent.projection_sheet import MOST

    folder = bench.run / FOLDER
    already = set(kept.already) if kept else set()
    facts: dict[str, Any] = {
        "folder": folder,
        "sheet": sheet,
        "projections": [
            one.facts.model_dump() | {"already": one.facts.name in already} for one in found
        ],
        "failed": list(failed),
    }
    lines = [
        f"{one.facts.name}  distance {one.facts.start_distance:.3f} -> {one.facts.distance:.3f}"
        f"{' (was there)' if one.facts.name in already else ''}"
        for one in found
    ]
    counts = [(len(found) - len(already), "projected"), (len(already), "already were")]
    counts += [(len(failed), "failed")] if failed else []
    lines.append(", ".join(f"{count} {what}" for count, what in counts))
    most = f" (the first {MOST})" if len(found) > MOST else ""
    lines += [] if sheet is None else [str(folder), f"{sheet}{most}"]
    show(facts, "\n".join(lines), as_json)
