"""`nonesuch sample site`: a folder of pages that shows samples, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption
from flows.cli.sampling.common import (
    BatchOption,
    CutoffOption,
    DeviceOption,
    LabelOption,
    OutOption,
    RunArgument,
    SnapshotOption,
    Workbench,
    show,
    truncation,
    with_run,
)


def site(
    run: RunArgument,
    count: Annotated[int, typer.Option(min=1, help="Pictures.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="The first; others follow.")] = 0,
    title: Annotated[
        str | None, typer.Option(help="What does not exist; the dataset's name otherwise.")
    ] = None,
    psi: Annotated[float, typer.Option(help="Truncation in w: 1 is none.")] = 0.7,
    cutoff: CutoffOption = None,
    label: LabelOption = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the JPEGs.")] = 90,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write a site of samples: one folder, to be opened or put on any web server."""

    def work(bench: Workbench) -> None:
        from training.latent.site import SiteWish, write_site

        name = title or (bench.run.name if bench.config is None else bench.config.dataset.name)
        wish = SiteWish(
            name,
            count,
            seed,
            truncation(psi, cutoff, None),
            bench.sampler.label(label),
            quality,
        )
        folder = bench.out(out, f"site-{bench.snapshot}")
        written = write_site(bench.sampler, wish, folder, progress=bench.progress)
        page: Path = folder / "index.html"
        facts = {"page": page, "pictures": written.files, "made": written.made}
        show(facts, f"{written.files:,} pictures, {written.made:,} made now\n{page}", as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)
