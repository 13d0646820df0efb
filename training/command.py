"""The command line of a bare GPU machine: `python -m training`, or `torchrun … -m training`.

Exit codes: 0 done, or stopped in good order, 1 the work failed, 2 wrong usage or settings. torchrun
has its own: 1 whenever a process ended otherwise than with 0, and whenever it was itself stopped by
a signal, although the processes then save and end with 0.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from training.command_tools import say
from training.errors import SetupError, TrainingError
from training.presets import PRESETS, known_keys
from training.request import Request

STORAGE_OPTIONS: Final = "NONESUCH_STORAGE_OPTIONS"
"""Environment variable with options for fsspec as a JSON object: others can read arguments."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; give the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        request = _request(asked)
        # Late, since it imports torch: `--help` is quick.
        from training.dry_run import dry_run
        from training.session import train

        if asked.dry_run:
            dry_run(request, json_output=asked.json)
            return 0
        outcome = train(request)
    except SetupError as error:
        say(f"error: {error}")
        return 2
    except (TrainingError, OSError) as error:
        say(f"error: {error}")
        return 1
    if asked.json and outcome is not None:
        sys.stdout.write(outcome.model_dump_json() + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a StyleGAN2-ADA on a published version. Started again with the same "
        "--run, it goes on from the latest snapshot.",
        epilog="With a trained run: `python -m training metrics RUN` takes figures of it, "
        "`python -m training score RUN` scores pictures; each has a --help of its own.",
    )
    parser.add_argument("version", help="folder of a published version, or its fsspec URL")
    parser.add_argument(
        "--run",
        "--run-folder",  # torchrun refuses `--run`: it begins as options of its own do
        type=Path,
        required=True,
        help="folder of the run; below torchrun, say --run-folder",
    )
    parser.add_argument("--preset", help=f"{', '.join(PRESETS)} (default: stylegan2-ada)")
    parser.add_argument(
        "--device", choices=["cuda", "cpu", "auto"], help="default: that of the preset"
    )
    parser.add_argument("--kimg", type=float, help="thousand images to train on, in all")
    parser.add_argument("--batch", type=int, help="images a step, over all GPUs")
    parser.add_argument("--seed", type=int, help="of everything that is drawn")
    parser.add_argument("--tag", action="append", help="only pictures with this tag; repeatable")
    parser.add_argument(
        "--label", action="append", help="only pictures with this label; repeatable"
    )
    parser.add_argument("--fold", help="leave out one part of the pictures: 2/5")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting, e.g. loss.r1_gamma=2; the value is JSON or a word",
    )
    parser.add_argument("--transfer", type=Path, help="start from this snapshot, or run")
    parser.add_argument(
        "--freeze-d", type=int, help="highest resolutions of D to leave as they are"
    )
    parser.add_argument("--cache", type=Path, help="where versions from object storage are kept")
    parser.add_argument("--dry-run", action="store_true", help="show settings and cost, and stop")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser


def _request(asked: argparse.Namespace) -> Request:
    short = {
        "run.device": asked.device,
        "run.total_kimg": asked.kimg,
        "run.seed": asked.seed,
        "optimizer.batch": asked.batch,
        "optimizer.freeze_d": asked.freeze_d,
        "data.tags": asked.tag,
        "data.labels": asked.label,
        "data.fold": asked.fold,
    }
    given = {key: value for key, value in short.items() if value is not None}
    return Request(
        version=asked.version,
        run=asked.run,
        preset=asked.preset,
        overrides=nested({**given, **dict(map(parse_setting, asked.set))}),
        transfer=asked.transfer,
        cache=asked.cache,
        storage_options=storage_options(),
    )


def storage_options() -> dict[str, Any]:
    """Read the environment's options for object storage.

    Raises
    ------
    SetupError
        If they are no JSON object; the message does not show them.
    """
    text = os.environ.get(STORAGE_OPTIONS)
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise SetupError(
            f'`{STORAGE_OPTIONS}` must be a JSON object like {{"key": "…", "secret": "…"}}'
        )
    return options


def parse_setting(text: str) -> tuple[str, Any]:
    """Read `key=value`, the value as JSON, else as a word.

    Raises
    ------
    SetupError
        If there is no `=`, or no such setting.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise SetupError(f"`--set` must be KEY=VALUE, got {text!r}; e.g. loss.r1_gamma=2")
    if key not in known_keys() or key == "preset":
        close = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.4)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise SetupError(f"`{key}` is no setting{hint}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Turn `section.key` into nested tables."""
    tables: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        if name:
            tables.setdefault(section, {})[name] = value
        else:
            tables[section] = value
    return tables
