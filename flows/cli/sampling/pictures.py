"""`nonesuch sample images`, `grid` and `figures`: pictures of seeds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption
from flows.cli.sampling.common import (
    BatchOption,
    CutoffOption,
    DeviceOption,
    LabelOption,
    LimitOption,
    Noise,
    NoiseOption,
    OutOption,
    PsiOption,
    RunArgument,
    SeedsOption,
    SnapshotOption,
    Workbench,
    show,
    truncation,
    with_run,
)

if TYPE_CHECKING:
    from PIL import Image


class Format(StrEnum):
    """What pictures are written as."""

    PNG = "png"
    JPEG = "jpeg"


def images(
    run: RunArgument,
    seeds: SeedsOption = "0-99",
    psi: PsiOption = 1.0,
    cutoff: CutoffOption = None,
    z_limit: LimitOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    form: Annotated[Format, typer.Option("--format", help="Of the files.")] = Format.PNG,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEGs.")] = 95,
    shard: Annotated[
        int | None,
        typer.Option(min=1, help="Write WebDataset shards of so many pictures, not a file each."),
    ] = None,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a picture for each seed; run again, it makes those that are missing."""

    def work(bench: Workbench) -> None:
        from training.latent.draws import parse_seeds
        from training.latent.images import Wish, write_images

        wish = Wish(
            parse_seeds(seeds),
            truncation(psi, cutoff, z_limit),
            bench.sampler.label(label),
            noise.value,
            form.value,
            quality,
            shard,
        )
        folder = bench.out(out, f"images-{bench.snapshot}")
        written = write_images(bench.sampler, wish, folder, progress=bench.progress)
        kind = "pictures" if shard is None else "shards"
        made, there = f"{written.made:,}", f"{written.there:,}"
        text = f"{made} pictures made, {there} were there: {written.files:,} {kind}"
        facts = {
            "folder": written.folder,
            "made": written.made,
            "there": written.there,
            "files": written.files,
        }
        show(facts, f"{text}\n{written.folder}", as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def grid(
    run: RunArgument,
    seeds: SeedsOption = "0-63",
    psi: PsiOption = 1.0,
    cutoff: CutoffOption = None,
    z_limit: LimitOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    columns: Annotated[
        int | None, typer.Option(min=1, help="Pictures in a row; as fits otherwise.")
    ] = None,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Lay pictures of seeds out on one sheet, none picked by hand."""

    def work(bench: Workbench) -> None:
        from training.latent.draws import parse_seeds
        from training.latent.figures import uncurated

        sheet = uncurated(
            bench.sampler,
            parse_seeds(seeds),
            truncation(psi, cutoff, z_limit),
            columns=columns,
            label=bench.sampler.label(label),
            noise=noise.value,
            progress=bench.progress,
        )
        path = _save(sheet, bench.out(out, f"grid-{bench.snapshot}.png"))
        show({"path": path, "width": sheet.width, "height": sheet.height}, str(path), as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def figures(
    run: RunArgument,
    psi: Annotated[
        float, typer.Option(help="Truncation, where a figure shows pictures with it.")
    ] = 0.7,
    seed: Annotated[int, typer.Option(min=0, help="The first; others follow.")] = 0,
    label: LabelOption = None,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Draw the figures that generators are shown by: truncation, style mixing, noise."""

    def work(bench: Workbench) -> None:
        folder = bench.out(out, f"figures-{bench.snapshot}")
        folder.mkdir(exist_ok=True)
        made = {
            name: _save(sheet, folder / f"{name}.png")
            for name, sheet in _figures(bench, psi, seed, bench.sampler.label(label))
        }
        text = "\n".join(map(str, made.values()))
        show({"folder": folder, "figures": made}, text, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def _figures(bench: Workbench, psi: float, seed: int, label: int | None) -> Any:
    """Yield the name and the sheet of each figure."""
    from training.latent import figures as draw
    from training.latent.draws import Truncation
    from training.latent.layer_groups import layer_groups

    common: dict[str, Any] = {"label": label, "progress": bench.progress}
    sampler, few, many = bench.sampler, range(seed, seed + 6), range(seed, seed + 64)
    kinds = {"": Truncation(), f"-psi{psi:g}": Truncation(psi)}
    for suffix, pulled in kinds.items():
        yield f"uncurated{suffix}", draw.uncurated(sampler, many, pulled, **common)
    psis = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0, -0.5)
    yield "truncation", draw.truncation_sweep(sampler, few, psis, **common)
    beside = range(seed + 6, seed + 12)
    for suffix, pulled in kinds.items():
        for group, layers in layer_groups(sampler.num_ws).items():
            if group != "all":
                mixed = draw.style_mixing(sampler, few, beside, layers, pulled, **common)
                yield f"mixing-{group}{suffix}", mixed
    pulled = Truncation(psi)
    yield "noise-detail", draw.noise_detail(sampler, few, pulled, **common)
    yield "noise-components", draw.noise_components(sampler, few, pulled, **common)


def _save(sheet: Image.Image, path: Path) -> Path:
    from training.watch.grids import save_png

    save_png(sheet, path)
    return path
