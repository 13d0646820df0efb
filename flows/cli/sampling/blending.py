"""`nonesuch latent blend` and `more`: models between two, and more of what is rare."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt, complain
from flows.cli.sampling.common import (
    BatchOption,
    DeviceOption,
    LabelOption,
    LimitOption,
    Noise,
    NoiseOption,
    OutOption,
    PsiOption,
    RunArgument,
    SnapshotOption,
    Workbench,
    find_run,
    show,
    with_run,
)

if TYPE_CHECKING:
    from flows.settings import DatasetConfig
    from training.latent.blend import Blended
    from training.latent.rare import Found, Search
    from training.latent.sampler import Pixels

_SHOWN: Final = 8  # pictures of each model
_UNLIKE: Final = 0.1  # cosine of weights below which two models have nothing in common
_BY_W, _BY_PICTURES = 100_000, 2_000  # samples that are searched


class By(StrEnum):
    """What is compared."""

    W = "w"
    FEATURES = "features"


def blend(
    run: RunArgument,
    other: Annotated[str, typer.Argument(help="Name or folder of the second run.")],
    out: Annotated[str, typer.Option(help="Name, or path of the folder, of the new run.")],
    weight: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the second; 0.5, or 1 with --from."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Take the second from this resolution on, e.g. 16x12 (height × width)."
        ),
    ] = None,
    ramp: Annotated[
        int, typer.Option(min=0, help="With --from: change over so many more resolutions.")
    ] = 0,
    snapshot: SnapshotOption = None,
    other_snapshot: Annotated[
        str | None, typer.Option(help="Of the second run; the newest otherwise.")
    ] = None,
    psi: PsiOption = 0.7,
    device: DeviceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a run between two of one family: their weights averaged, or resolutions swapped."""

    def work() -> None:
        from flows.trainings.launch import require_packages

        require_packages()
        from training.distributed import pick_device
        from training.latent.blend import Recipe
        from training.latent.blend import blend as make

        share = (0.5 if start is None else 1.0) if weight is None else weight
        recipe = Recipe(share, start, ramp)
        folder, settings = find_run(run, config)
        second, _ = find_run(other, config)
        paths = (_snapshot(folder, snapshot), _snapshot(second, other_snapshot))
        made = make(*paths, _new_run(out, folder, settings), recipe)
        on = pick_device("auto" if device is None else device.value)
        sheet = _compare(made, psi, on)
        if made.likeness < _UNLIKE:
            complain(
                f"the weights of the two have little in common (cosine {made.likeness:.2f}): "
                "pictures are good only where one was trained from the other (--transfer)"
            )
        _show_blend(made, sheet, as_json)

    attempt(work)


def more(
    run: RunArgument,
    tag: Annotated[str | None, typer.Option(help="Tag of a set from `latent tags`.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="Name of a projected picture, or a picture's file; repeatable."),
    ] = None,
    from_set: Annotated[str, typer.Option("--set", help="Set that the tag is in.")] = "tags",
    by: Annotated[
        By | None,
        typer.Option(help="Likeness in w, or of made pictures; w for projected pictures."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Samples to keep.")] = 24,
    search: Annotated[
        int | None,
        typer.Option(min=1, help="Samples to search; 100,000, or 2,000 where each is made."),
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed to begin with.")] = 0,
    psi: PsiOption = 1.0,
    limit: LimitOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 8,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Find the samples, of very many, that have a tag most clearly or look most like examples."""
    if (tag is None) == (not like):
        complain("error: one of --tag and --like must be given; give a tag or an example")
        raise typer.Exit(2)

    def work(bench: Workbench) -> None:
        from training.latent.draws import Truncation
        from training.latent.rare import Search, write_found

        names = like or []
        pictures = by is By.FEATURES or (by is None and any(map(_is_file, names)))
        samples = (_BY_PICTURES if pictures else _BY_W) if search is None else search
        asked = Search(
            first_seed,
            samples,
            count,
            Truncation(psi, None, limit),
            bench.sampler.label(label),
            noise.value,
        )
        if tag is not None:
            found, examples = _by_tag(bench, from_set, tag, asked), None
        elif pictures:
            examples = _examples(bench, names)
            found = _by_pictures(bench, examples, asked)
        else:
            found, examples = _by_w(bench, names, asked)
        what = tag if tag is not None else Path(names[0]).stem
        folder = bench.out(out, f"more-{_plain(what)}-{bench.snapshot}")
        sheet = write_found(
            bench.sampler, found, asked, folder, examples=examples, progress=bench.progress
        )
        _show_found(found, samples, folder, sheet, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def _snapshot(run: Path, name: str | None) -> Path:
    from training.models import load_snapshot

    return load_snapshot(run, name).path


def _new_run(out: str, first: Path, settings: DatasetConfig | None) -> Path:
    from flows.trainings.runs import models_folder, run_folder

    return run_folder(first.parent if settings is None else models_folder(settings), out)


def _compare(made: Blended, psi: float, device: Any) -> Path:
    """Draw the same seeds by the first, the new and the second model, in a row each."""
    import numpy as np

    from training.latent.draws import Truncation
    from training.latent.sampler import Sampler
    from training.latent.sheets import caption, fitted
    from training.models import load_model
    from training.watch.grids import grid, save_png

    first, second = made.parents
    paths = (first, made.run / "snapshots" / made.snapshot, second)
    rows = []
    for path in paths:
        sampler = Sampler(load_model(path, device=device))
        rows.append(fitted(sampler.render(sampler.ws(range(_SHOWN), Truncation(psi)))))
    names = [path.parent.parent.name for path in paths]
    if names[0] == names[2]:  # two ages of one run
        names = [path.name for path in (first, made.run, second)]
    captions = [caption(name) for name in names]
    sheet = made.run / "samples" / "blend.png"
    save_png(grid(np.concatenate(rows), _SHOWN, captions=captions), sheet)
    return sheet


def _show_blend(made: Blended, sheet: Path, as_json: bool) -> None:
    shares = ", ".join(f"{level} {share:.0%}" for level, share in made.shares.items())
    facts = {
        "run": made.run,
        "snapshot": made.snapshot,
        "parents": [str(path) for path in made.parents],
        "shares": dict(made.shares),
        "likeness": made.likeness,
        "nearer": made.nearer,
        "sheet": sheet,
    }
    text = (
        f"{made.run.name}: snapshot {made.snapshot}, of the second: {shares}\n"
        f"weights of the two: cosine {made.likeness:.2f}; D is that of {made.nearer}\n"
        f"{made.run}\n{sheet}"
    )
    show(facts, text, as_json)


def _is_file(name: str) -> bool:
    return "/" in name or Path(name).is_file()


def _by_tag(bench: Workbench, from_set: str, tag: str, search: Search) -> Found:
    from training.latent.directions import open_set
    from training.latent.rare import search_w
    from training.latent.tagged import model_of

    known = open_set(bench.run, from_set)
    known.check(bench.sampler)
    model = model_of(known.find(tag))
    if known.snapshot != bench.snapshot:
        complain(f"the tags are of {known.snapshot}, not of {bench.snapshot}: they may mean less")
    if not model.useful:
        complain(f"the model of {tag!r} is no better than chance (AUROC {model.auroc:.2f})")
    return search_w(bench.sampler, model.predict, search, bench.progress)


def _by_w(bench: Workbench, names: list[str], search: Search) -> tuple[Found, Pixels]:
    import torch

    from training.latent.labelled import projected_ws
    from training.latent.rare import like, search_w

    ws = torch.stack([projected_ws(bench.run, name, bench.sampler) for name in names])
    found = search_w(bench.sampler, like(ws.mean(1)), search, bench.progress)
    return found, bench.sampler.render(ws.to(bench.sampler.device))


def _by_pictures(bench: Workbench, examples: Pixels, search: Search) -> Found:
    from training.latent.rare import search_pictures

    return search_pictures(bench.sampler, examples, search, progress=bench.progress)


def _examples(bench: Workbench, names: list[str]) -> Pixels:
    """Read files; of projected pictures, take what the model makes of them."""
    import numpy as np
    import torch

    from training.latent.labelled import projected_ws
    from training.latent.targets import read_target

    sampler, found = bench.sampler, []
    for name in names:
        if _is_file(name):
            found.append(read_target(Path(name), sampler.size))
        else:
            ws = projected_ws(bench.run, name, sampler)
            found.append(sampler.render(torch.stack([ws]).to(sampler.device))[0])
    return np.stack(found)


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)[:60]


def _show_found(found: Found, samples: int, folder: Path, sheet: Path, as_json: bool) -> None:
    rows = [{"seed": s, "score": c} for s, c in zip(found.seeds, found.scores, strict=True)]
    facts = {"folder": folder, "sheet": sheet, "searched": samples, "mean": found.mean}
    text = (
        f"{len(rows)} of {samples:,} samples: scores {found.scores[0]:.4g} to "
        f"{found.scores[-1]:.4g}, {found.mean:.4g} on average\n{folder}\n{sheet}"
    )
    show(facts | {"samples": rows}, text, as_json)
