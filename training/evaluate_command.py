"""`python -m training metrics`: how good a trained run is.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or settings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.command import storage_options
from training.command_tools import Counter, add_common, exit_code, positive, say

if TYPE_CHECKING:
    from training.evaluate import Evaluation
    from training.memorized import NeighboursReport


def main(arguments: Sequence[str] | None = None) -> int:
    """Take figures as the arguments say; give the exit code."""
    asked = _parser().parse_args(arguments)
    return exit_code(lambda: _work(asked))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training metrics",
        description="Take figures of a trained run, print them, and add them to its run.json and "
        "metrics.jsonl. Figures are compared at equal counts, seeds and encoders only.",
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--snapshot", help="name, e.g. kimg-000200.000; default: the newest")
    parser.add_argument(
        "--metric",
        action="append",
        help="fd_own, kid_own, pr_own, ppl_own, fid, kid, pr or ppl; repeatable; default: fd_own, "
        "kid_own and pr_own; fid, kid and pr too where weights of Inception are given or found, "
        "and ppl with --lpips",
    )
    parser.add_argument(
        "--count",
        type=positive,
        help="pictures to generate; default: as many as there are real ones, up to 5000",
    )
    parser.add_argument("--inception", type=Path, help="weights of Inception, for fid, kid, pr")
    parser.add_argument("--lpips", type=Path, help="weights of LPIPS's VGG-16, for ppl")
    parser.add_argument(
        "--neighbours",
        action="store_true",
        help="draw the real pictures nearest to generated ones, too",
    )
    add_common(parser)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    return parser


def _work(asked: argparse.Namespace) -> None:
    # Late, since they import torch: `--help` is quick.
    from training.distributed import pick_device
    from training.evaluate import evaluate
    from training.metric_encoders import load_encoders
    from training.trained_on import Source

    device = pick_device(asked.device)
    source = Source(asked.version, asked.cache, storage_options())
    loaded = load_encoders(asked.metric, inception=asked.inception, lpips=asked.lpips, say=say)
    counter = Counter()
    try:
        taken = evaluate(
            asked.run,
            loaded,
            source=source,
            snapshot=asked.snapshot,
            count=asked.count,
            seed=asked.seed,
            batch=asked.batch,
            device=device,
            progress=counter,
            say=say,
        )
        drawn = _neighbours(asked, source, device, counter) if asked.neighbours else None
    finally:
        counter.close()
    text = _json(asked.run, taken, drawn) if asked.json else _table(asked.run, taken, drawn)
    sys.stdout.write(text + "\n")


def _neighbours(
    asked: argparse.Namespace, source: Any, device: Any, counter: Counter
) -> NeighboursReport:
    from training.inception import load_inception
    from training.memorized import neighbours

    return neighbours(
        asked.run,
        source=source,
        snapshot=asked.snapshot,
        encoder=None if asked.inception is None else load_inception(asked.inception),
        seed=asked.seed,
        batch=asked.batch,
        device=device,
        progress=counter,
    )


def _table(run: Path, taken: Evaluation, drawn: NeighboursReport | None) -> str:
    rows = [
        (name, f"{value:.4g}", figures.encoder)
        for figures in taken.figures
        for name, value in figures.items()
        if name in taken.values
    ]
    if drawn is not None:
        rows.append(("nearest_ratio", f"{drawn.ratio:.4g}", drawn.encoder))
    wide, high = (max(len(row[at]) for row in rows) for at in (0, 1))
    lines = [
        f"{run}, {taken.snapshot}: {taken.count:,} generated, seed {taken.seed}, "
        f"version {taken.version_hash:.12}",
        *(f"{name:<{wide}}  {value:>{high}}  {encoder}" for name, value, encoder in rows),
    ]
    if drawn is not None:
        lines.append(f"nearest real pictures: {drawn.path}")
    return "\n".join(lines)


def _json(run: Path, taken: Evaluation, drawn: NeighboursReport | None) -> str:
    content: dict[str, Any] = {"run": str(run), "figures": taken.rows()}
    if drawn is not None:
        content["neighbours"] = {
            "snapshot": drawn.snapshot,
            "path": str(drawn.path),
            "ratio": drawn.ratio if drawn.ratio < float("inf") else None,
            "encoder": drawn.encoder,
        }
    return json.dumps(content, allow_nan=False)
