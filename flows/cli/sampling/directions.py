"""`nonesuch latent sefa`, `ganspace`, `tags`, `directions`: ways in which pictures change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt, complain
from flows.cli.sampling.common import (
    BatchOption,
    DeviceOption,
    LabelOption,
    PsiOption,
    RunArgument,
    SeedOption,
    SnapshotOption,
    Workbench,
    find_run,
    show,
    with_run,
)

if TYPE_CHECKING:
    from training.latent.directions import DirectionSet

_SHOWN: Final = "0-1"

NameOption = Annotated[
    str | None, typer.Option(help="Name of the set; one of the same name is replaced.")
]
SheetSeedsOption = Annotated[str, typer.Option("--seeds", help="Seeds that the sheet shows.")]
SheetOption = Annotated[bool, typer.Option(help="Draw a sheet of what each direction does.")]
LayersOption = Annotated[
    list[str] | None,
    typer.Option(help="coarse, middle, fine, all, or ws like 2-5; repeatable. Otherwise all four."),
]
GroupOption = Annotated[
    str | None, typer.Option("--layers", help="coarse, middle, fine, all, or ws like 2-5.")
]


def sefa(
    run: RunArgument,
    layers: LayersOption = None,
    count: Annotated[int, typer.Option(min=1, help="Directions of each group of layers.")] = 5,
    name: NameOption = None,
    snapshot: SnapshotOption = None,
    label: LabelOption = None,
    sheet: SheetOption = True,
    seeds: SheetSeedsOption = _SHOWN,
    psi: PsiOption = 0.7,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find directions from a model's weights alone: what changes styles most."""

    def work(bench: Workbench) -> None:
        from training.latent import sefa as by

        drawn = _Sheet(sheet, seeds, psi, label)
        found = by.sefa(
            bench.sampler,
            layers=layers or None,
            count=min(count, bench.sampler.w_dim),
            label=bench.sampler.label(label),
            name=name or "sefa",
            progress=bench.progress,
        )
        _keep(bench, found, as_json, drawn)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def ganspace(
    run: RunArgument,
    at: Annotated[
        str,
        typer.Option(help="w, or a resolution like 8x6 (height × width) whose activations count."),
    ] = "w",
    layers: GroupOption = None,
    count: Annotated[int, typer.Option(min=1, help="Directions.")] = 10,
    samples: Annotated[
        int, typer.Option(min=2, help="Samples that components are of; more than --count.")
    ] = 10_000,
    seed: SeedOption = 0,
    name: NameOption = None,
    snapshot: SnapshotOption = None,
    label: LabelOption = None,
    sheet: SheetOption = True,
    seeds: SheetSeedsOption = _SHOWN,
    psi: PsiOption = 0.7,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find directions by principal components of many samples."""

    def work(bench: Workbench) -> None:
        from training.latent import ganspace as by

        drawn = _Sheet(sheet, seeds, psi, label)
        found = by.ganspace(
            bench.sampler,
            at=at,
            samples=samples,
            count=min(count, bench.sampler.w_dim),
            layers=layers,
            seed=seed,
            label=bench.sampler.label(label),
            name=name,
            progress=bench.progress,
        )
        _keep(bench, found, as_json, drawn)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def tags(
    run: RunArgument,
    file: Annotated[
        Path,
        typer.Argument(help="CSV or JSON lines, a row for each tag: `seed,tag` or `name,tag`."),
    ],
    seed: SeedOption = 0,
    name: NameOption = None,
    snapshot: SnapshotOption = None,
    label: LabelOption = None,
    sheet: SheetOption = True,
    seeds: SheetSeedsOption = _SHOWN,
    psi: PsiOption = 0.7,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find directions from tags that people gave to samples or to projected pictures."""

    def work(bench: Workbench) -> None:
        from training.latent.labelled import find_examples, read_tags
        from training.latent.tagged import tag_directions, tag_models

        drawn = _Sheet(sheet, seeds, psi, label)
        of = bench.sampler.label(label)
        models, left_out = tag_models(
            find_examples(bench.sampler, bench.run, read_tags(file), of), seed
        )
        for tag, why in left_out.items():
            complain(f"left out: {tag}: {why}")
        found = tag_directions(
            bench.sampler, models, label=of, name=name or "tags", progress=bench.progress
        )
        _keep(bench, found, as_json, drawn, left_out=left_out)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def directions(
    run: RunArgument, config: ConfigOption = CONFIG, as_json: JsonOption = False
) -> None:
    """List the sets of directions of a run, and what is in them."""

    def work() -> None:
        from training.errors import SetupError
        from training.latent.directions import list_sets, open_set

        folder, _ = find_run(run, config)
        found = []
        for name in list_sets(folder):
            try:
                found.append(open_set(folder, name))
            except SetupError as error:  # a damaged one must not hide the others
                complain(f"passed over: {error}")
        text = "\n\n".join(_table(each) for each in found)
        show(
            {"run": folder, "sets": [_facts(each) for each in found]},
            text or f"{folder} has no directions yet: find some with `nonesuch latent sefa`",
            as_json,
        )

    attempt(work)


class _Sheet:
    """Which pictures a sheet shows, if there shall be one; refuses what cannot be at once."""

    def __init__(self, wanted: bool, seeds: str, psi: float, label: str | None) -> None:
        from training.latent.draws import Truncation, parse_seeds

        self.wanted, self.label = wanted, label
        self._seeds, self._truncation = parse_seeds(seeds), Truncation(psi)

    def draw(self, bench: Workbench, found: DirectionSet, path: Path) -> None:
        from training.latent.sheets import direction_sheet
        from training.watch.grids import save_png

        image = direction_sheet(
            bench.sampler,
            found,
            self._seeds,
            truncation=self._truncation,
            label=bench.sampler.label(self.label),
            progress=bench.progress,
        )
        save_png(image, path)


def _keep(bench: Workbench, found: DirectionSet, as_json: bool, sheet: _Sheet, **more: Any) -> None:
    from training.latent.directions import save_set

    path = save_set(bench.run, found)
    drawn = path.with_suffix(".png") if sheet.wanted else None
    if drawn is not None:
        sheet.draw(bench, found, drawn)
    facts = _facts(found) | {"path": path, "sheet": drawn} | more
    show(facts, "\n".join([_table(found), str(path), *([str(drawn)] if drawn else [])]), as_json)


def _facts(found: DirectionSet) -> dict[str, Any]:
    from training.latent.directions import facts_of

    return {
        "name": found.name,
        "kind": found.kind,
        "snapshot": found.snapshot,
        "w_dim": found.w_dim,
        "num_ws": found.num_ws,
        "directions": [facts_of(direction) for direction in found.directions],
    }


_COLUMNS: Final[Sequence[tuple[str, Callable[[Any], str]]]] = (
    ("direction", lambda d: d.name),
    ("ws", lambda d: f"{d.layers[0]}-{d.layers[1] - 1}"),
    ("std", lambda d: f"{d.scale:.3g}"),
    ("range", lambda d: f"±{d.range:g}"),
    ("share", lambda d: "" if d.share is None else f"{d.share:.1%}"),
    ("AUROC", lambda d: f"{d.figures['auroc']:.2f}" if "auroc" in d.figures else ""),
    ("accuracy", lambda d: f"{d.figures['accuracy']:.2f}" if "accuracy" in d.figures else ""),
    ("", lambda d: "no better than chance" if _is_chance(d) else ""),
)


def _is_chance(direction: Any) -> bool:
    figures = direction.figures
    return bool("auroc" in figures and figures["auroc"] <= figures["chance"])


def _table(found: DirectionSet) -> str:
    """Lay out as text; a column in which nothing stands is left out."""
    columns = [
        (head, cells)
        for head, cell in _COLUMNS
        if any(cells := [cell(direction) for direction in found.directions])
    ]
    widths = [max(map(len, (head, *cells))) for head, cells in columns]
    rows = [[head for head, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    lines = [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    count = len(found.directions)
    what = f"{count} direction{'' if count == 1 else 's'}"
    head = f"{found.name}: {what} of {found.snapshot}, by {found.kind}"
    return "\n".join([head, *lines])
