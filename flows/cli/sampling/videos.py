"""`nonesuch sample video`: films of what a trained run has learned, and of how it learned it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt
from flows.cli.sampling.common import (
    FOLDER,
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
    SeedOption,
    SnapshotOption,
    Workbench,
    find_run,
    show,
    showing,
    truncation,
    with_run,
)

if TYPE_CHECKING:
    from training.latent.clip_options import Clip, ClipOptions
    from training.latent.video import Encoding

video_app = typer.Typer(
    help="Make videos of a trained run: walks, mixed styles, a circle, the training itself.",
    no_args_is_help=True,
)


class Space(StrEnum):
    """Where pictures walk."""

    W = "w"
    Z = "z"


class Enlarging(StrEnum):
    """How small pictures are made large."""

    LANCZOS = "lanczos"
    NEAREST = "nearest"


_PSI: Final = 0.7

SecondsOption = Annotated[float, typer.Option(help="Length.")]
FpsOption = Annotated[int, typer.Option(help="Frames a second.")]
CrfOption = Annotated[
    int, typer.Option(help="Quality of H.264: 0 is best, 51 worst; six more halve the file.")
]
ScaleOption = Annotated[
    int | None,
    typer.Option(help="Enlarge so many times; otherwise until the longer side has 512 px."),
]
EnlargeOption = Annotated[
    Enlarging, typer.Option(help="lanczos: smooth; nearest: every pixel a square.")
]
RowsOption = Annotated[int, typer.Option(help="Of pictures.")]
ColumnsOption = Annotated[int, typer.Option(help="Of pictures.")]
KeysOption = Annotated[int, typer.Option(help="Seeds that each picture passes on its way.")]


@video_app.command()
def grid(
    run: RunArgument,
    rows: RowsOption = 3,
    columns: ColumnsOption = 4,
    keys: KeysOption = 4,
    space: Annotated[
        Space, typer.Option(help="w: on smooth curves; z: from seed to seed on the sphere.")
    ] = Space.W,
    seconds: SecondsOption = 12.0,
    fps: FpsOption = 30,
    seed: SeedOption = 0,
    psi: PsiOption = _PSI,
    cutoff: CutoffOption = None,
    z_limit: LimitOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    crf: CrfOption = 18,
    scale: ScaleOption = None,
    enlarge: EnlargeOption = Enlarging.LANCZOS,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 16,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Film pictures side by side that change into others and back."""

    def work(bench: Workbench) -> None:
        from training.latent.clips import interpolation_grid

        options = _options(
            bench,
            (seconds, fps, crf),
            seed,
            (psi, cutoff, z_limit),
            label,
            noise,
            (scale, enlarge),
        )
        clip = interpolation_grid(
            bench.sampler,
            bench.out(out, _name("grid", bench.snapshot)),
            options,
            rows=rows,
            columns=columns,
            keys=keys,
            space=space.value,
            progress=bench.progress,
        )
        _show(clip, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


@video_app.command()
def mixing(
    run: RunArgument,
    layers: Annotated[
        str, typer.Option(help="What is taken: coarse, middle, fine, or ws like 2-5.")
    ] = "coarse",
    rows: Annotated[int, typer.Option(help="Fixed pictures.")] = 3,
    columns: Annotated[int, typer.Option(help="Moving sources.")] = 4,
    keys: KeysOption = 4,
    seconds: SecondsOption = 12.0,
    fps: FpsOption = 30,
    seed: SeedOption = 0,
    psi: PsiOption = _PSI,
    cutoff: CutoffOption = None,
    z_limit: LimitOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    crf: CrfOption = 18,
    scale: ScaleOption = None,
    enlarge: EnlargeOption = Enlarging.LANCZOS,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 16,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Film what some layers decide: fixed pictures take them from moving ones."""

    def work(bench: Workbench) -> None:
        from training.latent.clips import style_mixing
        from training.latent.layer_groups import find_layers

        find_layers(layers, bench.sampler.num_ws)  # it becomes part of a file's name
        options = _options(
            bench,
            (seconds, fps, crf),
            seed,
            (psi, cutoff, z_limit),
            label,
            noise,
            (scale, enlarge),
        )
        clip = style_mixing(
            bench.sampler,
            bench.out(out, _name(f"mixing-{layers}", bench.snapshot)),
            options,
            layers=layers,
            rows=rows,
            columns=columns,
            keys=keys,
            progress=bench.progress,
        )
        _show(clip, as_json)

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


@video_app.command()
def circle(
    run: RunArgument,
    seconds: SecondsOption = 10.0,
    fps: FpsOption = 30,
    seed: SeedOption = 0,
    psi: PsiOption = _PSI,
    cutoff: CutoffOption = None,
    label: LabelOption = None,
    noise: NoiseOption = Noise.FIXED,
    rounds: Annotated[
        int, typer.Option(min=0, help="How often frames are evened out, at most; 0: equal angles.")
    ] = 4,
    crf: CrfOption = 18,
    scale: ScaleOption = None,
    enlarge: EnlargeOption = Enlarging.LANCZOS,
    snapshot: SnapshotOption = None,
    batch: BatchOption = 16,
    device: DeviceOption = None,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Film a round trip whose every frame changes what is seen by as much as the next."""

    def work(bench: Workbench) -> None:
        from training.latent.clips import circle as film_circle

        options = _options(
            bench, (seconds, fps, crf), seed, (psi, cutoff, None), label, noise, (scale, enlarge)
        )
        clip = film_circle(
            bench.sampler,
            bench.out(out, _name("circle", bench.snapshot)),
            options,
            rounds=rounds,
            progress=bench.progress,
        )
        _show(clip, as_json, _evenness(clip))

    with_run(work, run, config, snapshot=snapshot, device=device, batch=batch)


@video_app.command()
def montage(
    run: RunArgument,
    seconds: Annotated[float, typer.Option(help="Length, at most.")] = 20.0,
    fps: FpsOption = 30,
    crf: CrfOption = 18,
    scale: ScaleOption = None,
    enlarge: EnlargeOption = Enlarging.LANCZOS,
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Film how the training went: its sample grids, one fading into the next."""

    def work() -> None:
        from flows.trainings.launch import require_packages

        require_packages()
        from training.latent.montage import montage as film_montage
        from training.latent.montage import sample_grids

        folder, _ = find_run(run, config)
        newest = sample_grids(folder)[-1].path.stem
        path = folder / FOLDER / _name("montage", newest) if out is None else out
        path.parent.mkdir(parents=True, exist_ok=True)
        with showing() as progress:
            clip = film_montage(
                folder,
                path,
                seconds=seconds,
                encoding=_encoding(fps, crf),
                scale=scale,
                enlarging=enlarge.value,
                progress=progress,
            )
        told = f"{clip.numbers['grids']} grids, up to {clip.numbers['kimg']:g} kimg"
        _show(clip, as_json, told)

    attempt(work)


def _name(kind: str, snapshot: str) -> str:
    return f"video-{kind}-{snapshot}.mp4"


def _encoding(fps: int, crf: int) -> Encoding:
    from training.latent.video import Encoding

    return Encoding(fps, crf)


def _options(
    bench: Workbench,
    timing: tuple[float, int, int],
    seed: int,
    truncated: tuple[float, int | None, float | None],
    label: str | None,
    noise: Noise,
    enlarging: tuple[int | None, Enlarging],
) -> ClipOptions:
    from training.latent.clip_options import ClipOptions

    seconds, fps, crf = timing
    scale, how = enlarging
    return ClipOptions(
        seconds=seconds,
        seed=seed,
        truncation=truncation(*truncated),
        label=bench.sampler.label(label),
        noise=noise.value,
        encoding=_encoding(fps, crf),
        scale=scale,
        enlarging=how.value,
    )


def _evenness(clip: Clip) -> str:
    before, after, rounds = (clip.numbers[key] for key in ("before", "after", "rounds"))
    return (
        f"largest step / mean step: {before:.2f} at equal angles, {after:.2f} in the video, "
        f"after {rounds:g} {'round' if rounds == 1 else 'rounds'}"
    )


def _show(clip: Clip, as_json: bool, more: str | None = None) -> None:
    height, width = clip.size
    facts: dict[str, Any] = {
        "path": clip.path,
        "frames": clip.frames,
        "fps": clip.fps,
        "seconds": clip.seconds,
        "height": height,
        "width": width,
        **clip.numbers,
    }
    told = (
        f"{clip.frames} frames of {height}×{width} px (height × width), "
        f"{clip.seconds:.1f} s at {clip.fps} a second"
    )
    show(facts, "\n".join([told, *([] if more is None else [more]), str(clip.path)]), as_json)
