"""`nonesuch sample check`: whether a model invents, or remembers and repeats."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, complain
from flows.cli.sampling.common import (
    BatchOption,
    DeviceOption,
    LabelOption,
    PsiOption,
    RunArgument,
    SeedOption,
    SnapshotOption,
    Workbench,
    show,
    truncation,
    with_run,
)
from flows.cli.training import Device


def check(
    run: RunArgument,
    count: Annotated[int, typer.Option(min=2, help="Samples that are compared.")] = 1000,
    paths: Annotated[int, typer.Option(min=1, help="Ways that are gone through z.")] = 16,
    steps: Annotated[int, typer.Option(min=2, help="Steps of each way.")] = 48,
    psi: PsiOption = 1.0,
    label: LabelOption = None,
    seed: SeedOption = 0,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Look for memorized pictures, repeated ones, and jumps between them; draw each."""

    def work(bench: Workbench) -> None:
        facts, lines = _check(bench, count, paths, steps, psi, label, seed, device)
        show(facts, "\n".join(lines), as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def _check(
    bench: Workbench,
    count: int,
    paths: int,
    steps: int,
    psi: float,
    label: str | None,
    seed: int,
    device: Device | None,
) -> tuple[dict[str, Any], list[str]]:
    from training.errors import ShardError
    from training.latent.duplicates import NEAR, find_twins
    from training.latent.smoothness import measure_smoothness
    from training.watch.grids import save_png

    sampler, number = bench.sampler, bench.sampler.label(label)
    pulled = truncation(psi, None, None)
    smooth, sheet = measure_smoothness(
        sampler,
        paths=paths,
        steps=steps,
        seed=seed,
        truncation=pulled,
        label=number,
        progress=bench.progress,
    )
    ways = bench.out(None, f"smoothness-{bench.snapshot}.png")
    save_png(sheet, ways)
    twins, sheet = find_twins(
        sampler, range(seed, seed + count), pulled, label=number, progress=bench.progress
    )
    pairs = bench.out(None, f"repeated-{bench.snapshot}.png")
    save_png(sheet, pairs)
    facts: dict[str, Any] = {
        "snapshot": bench.snapshot,
        "encoder": twins.encoder,
        "jump": smooth.jump,
        "worst_jump": smooth.worst,
        "repeated": twins.repeated,
        "samples": twins.count,
        "smoothness_sheet": ways,
        "repeated_sheet": pairs,
    }
    lines = [
        f"jump      {smooth.jump:.2f} (worst way {smooth.worst:.2f}): longest step / mean step, "
        f"of {steps}; a collapsed model jumps",
        f"repeated  {twins.repeated} of {twins.count:,} samples have another one within "
        f"{NEAR:g} × the usual distance",
    ]
    try:
        near = _neighbours(bench, psi, number, seed, device)
    except ShardError as error:
        complain(f"real pictures were not compared: {error}")
        facts |= {"nearest_ratio": None, "neighbours_sheet": None}
        return facts, [*lines, str(ways), str(pairs)]
    ratio = near.ratio if near.ratio < float("inf") else None
    facts |= {"nearest_ratio": ratio, "neighbours_sheet": near.path}
    lines.append(
        f"nearest   {near.ratio:.2f}: distance to the nearest real picture / that between real "
        "ones; far below 1, it has memorized"
    )
    return facts, [*lines, str(ways), str(pairs), str(near.path)]


def _neighbours(
    bench: Workbench, psi: float, label: int | None, seed: int, device: Device | None
) -> Any:
    from flows.trainings.launch import source_of
    from training.distributed import pick_device
    from training.memorized import neighbours
    from training.trained_on import AS_TRAINED

    return neighbours(
        bench.run,
        source=AS_TRAINED if bench.config is None else source_of(bench.config, bench.run),
        snapshot=bench.snapshot,
        psi=psi,
        label=label,
        seed=seed,
        device=pick_device("auto" if device is None else device.value),
        progress=bench.progress,
    )
