"""`python -m training score`: what discriminators of trained runs say of each picture.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.command import storage_options
from training.command_tools import Counter, add_common, exit_code, positive, say
from training.errors import SetupError

if TYPE_CHECKING:
    from training.score_run import ItemScore

COLUMNS: Final = ("item", "mean", "standard_error", "n", "fold")

Lines = Callable[[Iterable["ItemScore"]], Iterator[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Score as the arguments say; give the exit code."""
    asked = _parser().parse_args(arguments)
    return exit_code(lambda: _work(asked))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training score",
        description="Score every picture that a run was trained on by its discriminator; with all "
        "runs of a k-fold training (--fold), each picture by the one that has not seen it.",
    )
    parser.add_argument(
        "run", type=Path, nargs="+", help="folder of the run, or those of a k-fold training"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="file to write, .csv or .jsonl, whole or not at all; default: CSV on standard output",
    )
    parser.add_argument(
        "--shuffles",
        type=positive,
        default=8,
        help="times that each picture is judged, each time beside others (8)",
    )
    parser.add_argument(
        "--snapshots",
        type=positive,
        default=1,
        help="newest snapshots of each run whose mean is taken (1)",
    )
    add_common(parser)
    return parser


def _work(asked: argparse.Namespace) -> None:
    lines = _format_of(asked.out)
    # Late, since they import torch: `--help` is quick.
    from training.data.files import written_whole
    from training.distributed import pick_device
    from training.score_run import score_version
    from training.trained_on import Source

    counter = Counter()
    try:
        scores = score_version(
            asked.run,
            source=Source(asked.version, asked.cache, storage_options()),
            newest=asked.snapshots,
            shuffles=asked.shuffles,
            seed=asked.seed,
            batch=asked.batch,
            device=pick_device(asked.device),
            progress=counter,
            say=say,
        )
        if asked.out is None:
            sys.stdout.writelines(lines(scores))
            return
        with written_whole(asked.out) as file:
            file.writelines(line.encode() for line in lines(scores))
    finally:
        counter.close()
    say(f"scores are in {asked.out}")


def _format_of(out: Path | None) -> Lines:
    """Choose by the ending, before hours of work depend on it."""
    if out is None:
        return csv_lines
    if not out.parent.is_dir():
        raise SetupError(f"{out} cannot be written: there is no folder {out.parent}; make it")
    match out.suffix:
        case ".csv":
            return csv_lines
        case ".jsonl":
            return json_lines
    raise SetupError(f"`--out` must end in .csv or .jsonl, got {out.name}")


def csv_lines(scores: Iterable[ItemScore]) -> Iterator[str]:
    """Write scores as CSV, a header first; what is not there is left empty."""
    yield _csv_line(COLUMNS)
    for score in scores:
        yield _csv_line("" if value is None else value for value in _values(score))


def json_lines(scores: Iterable[ItemScore]) -> Iterator[str]:
    """Write scores as JSON lines; what is not there is null."""
    for score in scores:
        row = dict(zip(COLUMNS, _values(score), strict=True))
        yield json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n"


def _values(score: ItemScore) -> list[Any]:
    """Give the columns; a standard error of a single shuffle is no number."""
    values = [getattr(score, name) for name in COLUMNS]
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def _csv_line(values: Iterable[Any]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerow(values)
    return sink.getvalue()
