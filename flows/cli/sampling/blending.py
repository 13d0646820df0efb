"""`nonesuch latent blend` and `more`: models between two, and more of what is rare."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

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

_TAGS: Final = "tags"
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
        from training.latent.draws import Truncation
        from training.latent.sheets import blend_sheet
        from training.watch.grids import save_png

        # All that can be refused is, before there is a run that the mended command would refuse.
        truncated, on = Truncation(psi), pick_device("auto" if device is None else device.value)
        share = (0.5 if start is None else 1.0) if weight is None else weight
        recipe = Recipe(share, start, ramp)
        folder, settings = find_run(run, config)
        second, _ = find_run(other, config)
        paths = (_snapshot(folder, snapshot), _snapshot(second, other_snapshot))
        made = make(*paths, _new_run(out, folder, settings), recipe)
        sheet = made.run / "samples" / "blend.png"
        save_png(blend_sheet(made, truncated, device=on), sheet)
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
    from_set: Annotated[
        str | None, typer.Option("--set", help="Set that the tag is in; `tags` otherwise.")
    ] = None,
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
    z_limit: LimitOption = None,
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
    _check_search(tag, like, from_set, by)

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
            Truncation(psi, None, z_limit),
            bench.sampler.label(label),
            noise.value,
        )
        if tag is not None:
            found, examples = _by_tag(bench, from_set or _TAGS, tag, asked), None
        else:
            found, examples = _by_examples(bench, names, asked, pictures=pictures)
        what = tag if tag is not None else Path(names[0]).stem
        folder = bench.out(out, f"more-{_plain(what)}-{bench.snapshot}")
        sheet = write_found(
            bench.sampler, found, asked, folder, examples=examples, progress=bench.progress
        )
        _show_found(found, samples, folder, sheet, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


def _check_search(
    tag: str | None, like: list[str] | None, from_set: str | None, by: By | None
) -> None:
    wrong = None
    if (tag is None) == (not like):
        wrong = "one of --tag and --like must be given; give a tag or an example"
    elif tag is not None and by is By.FEATURES:
        wrong = "--tag is looked for in w alone, got --by features; leave --by out, or give --like"
    elif tag is None and from_set is not None:
        wrong = f"--set says where a --tag is, got --set {from_set} with --like; leave one out"
    if wrong is not None:
        complain(f"error: {wrong}")
        raise typer.Exit(2)


def _snapshot(run: Path, name: str | None) -> Path:
    from training.models import load_snapshot

    return load_snapshot(run, name).path


def _new_run(out: str, first: Path, settings: DatasetConfig | None) -> Path:
    from flows.trainings.runs import models_folder, run_folder

    return run_folder(first.parent if settings is None else models_folder(settings), out)


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


def _by_examples(
    bench: Workbench, names: list[str], search: Search, *, pictures: bool
) -> tuple[Found, Pixels]:
    from training.latent.rare import like_projected, search_pictures, search_w, show_examples

    sampler = bench.sampler
    if pictures:
        shown = show_examples(
            sampler, bench.run, [Path(name) if _is_file(name) else name for name in names]
        )
        return search_pictures(sampler, shown, search, progress=bench.progress), shown
    score = like_projected(sampler, bench.run, names)
    found = search_w(sampler, score, search, bench.progress)
    return found, show_examples(sampler, bench.run, names)


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
