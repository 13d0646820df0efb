"""What a rebuild costs when little or nothing has changed.

Every flow runs in a process of its own against a Prefect server that runs already, and so does an
empty flow: what counts is the time of the flow's call beyond that of the empty flow's call. The
start of the interpreter and the imports are told beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import synthetic_rows
from benchmarks.common import (
    FlowTimes,
    Row,
    Skipped,
    fresh,
    median,
    photographs,
    prefect_server,
    run_flow,
    say,
    settle,
    write_config,
)
from data_catalog.catalog import Catalog

ITEMS: Final = 50_000
REPEATS: Final = 3
REACH_NOTHING: Final = 3.0  # s
REACH_THRESHOLD: Final = 5.0  # s
REACH_SHARE: Final = 0.05

# Another set of thresholds for each repeat. The first is a rule that rejects, so that grouping has
# other items to look at; the second is one that flags. Only upwards: what a looser rule lets in
# may have to be compared, which is more than judging.
_RULES: Final = (
    "too_small = {{ min_side = {} }}\nblurred = {{ min_sharpness = {}, action = 'flag' }}"
)
_THRESHOLDS: Final = tuple((301 + k, 0.56 + 0.02 * k) for k in range(REPEATS))


def run() -> list[Row]:
    """Measure all three."""
    with prefect_server() as environment:
        run_flow(environment, "empty")  # the server's own first time
        rows = unchanged_and_rejudged(environment)
        try:
            rows.append(one_percent_new(environment, photographs()))
        except Skipped as skipped:
            say(f"  {skipped}")
            rows.append(Row("rebuild, 1% new images", "not measured", str(skipped)))
    return rows


def unchanged_and_rejudged(environment: dict[str, str], items: int = ITEMS) -> list[Row]:
    """Time a rebuild with nothing new, and one with changed thresholds, over synthetic rows."""
    say(f"incremental: {items:,} synthetic items")
    folder = fresh("synthetic")
    config = synthetic_rows.make(folder, items)
    first = run_flow(environment, "rebuild", str(config))
    _check(first.summary["items"] == items, "every synthetic row is an item")
    say(f"  first judged in {first.call:.1f} s: {first.summary}")
    catalog = Catalog(folder / "catalog")
    before = _stored(catalog)
    empty: list[FlowTimes] = []
    nothing: list[FlowTimes] = []
    changed: list[FlowTimes] = []
    for thresholds in _THRESHOLDS:
        settle()
        empty.append(run_flow(environment, "empty"))
        nothing.append(run_flow(environment, "rebuild", str(config)))
        write_config(folder, folder / "images", rules=_RULES.format(*thresholds))
        changed.append(run_flow(environment, "rebuild", str(config)))
        _check(changed[-1].summary["build"] != nothing[-1].summary["build"], "it is judged anew")
    _check(_stored(catalog) == before, "no pack and no row of an image was written")
    _check(not any(t.summary["standardized"] for t in nothing + changed), "nothing is decoded")
    shutil.rmtree(folder)
    return [
        _row(f"second rebuild, nothing new, {items:,} items", nothing, empty, REACH_NOTHING),
        _row(f"changed thresholds, {items:,} items", changed, empty, REACH_THRESHOLD),
    ]


def _stored(catalog: Catalog) -> list[object]:
    """Give what must not change: all packs, and the versions of the tables about images."""
    standard = catalog.root.child("standard")
    packs = [(recipe, catalog.standard(recipe).packs()) for recipe in standard.ls()]
    tables = ("observations", "images", "features", "pairs")
    return [catalog.raw.packs(), packs, [catalog.table(name).version() for name in tables]]


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"does not hold: {what}")


def _row(what: str, times: Sequence[FlowTimes], empty: Sequence[FlowTimes], reach: float) -> Row:
    call = median(t.call for t in times)
    base = median(t.call for t in empty)
    busy = median(t.processor for t in times) - median(t.processor for t in empty)
    process = median(t.process for t in times) - median(t.process for t in empty)
    row = Row(
        what,
        f"{call - base:.2f} s beyond an empty flow",
        f"empty flow: {base:.2f} s",
        f"processor {busy:.2f} s, with imports {process:.2f} s beyond",
        f"≤ {reach:g} s, nothing decoded",
        call - base <= reach,
        {
            "call_s": [t.call for t in times],
            "processor_s": [t.processor for t in times],
            "process_s": [t.process for t in times],
            "empty_call_s": [t.call for t in empty],
            "empty_processor_s": [t.processor for t in empty],
            "empty_process_s": [t.process for t in empty],
        },
    )
    say(f"  {what}: {row.figure}; {row.peer}; {row.ratio}")
    return row


def one_percent_new(environment: dict[str, str], paths: Sequence[Path]) -> Row:
    """Rebuild from 97% of the photographs, then with 1% more; the second as a share of the first.

    Every hundredth photograph is a new one, three times over, so that each repeat has its own. The
    full rebuild is timed before and after. The fastest of each counts: whatever else the machine
    does can only make one of them slower, and a slow full rebuild would flatter the share.
    """
    late = [paths[k::100] for k in (50, 51, 52)]
    held = {path for batch in late for path in batch}
    early = [path for path in paths if path not in held]
    folder = fresh("one-percent")
    images = folder / "images"
    images.mkdir()
    _copy(early, images)
    config = write_config(folder, images)
    say(f"incremental: full rebuild of {len(early):,}, then {len(late[0])} new ones")
    settle()
    empty = [run_flow(environment, "empty")]
    full = [run_flow(environment, "rebuild", str(config))]
    added: list[FlowTimes] = []
    for batch in late:
        _copy(batch, images)
        settle()
        empty.append(run_flow(environment, "empty"))
        added.append(run_flow(environment, "rebuild", str(config)))
        _check(added[-1].summary["standardized"] == len(batch), "only the new ones are decoded")
    shutil.rmtree(folder / "catalog")
    for path in held:
        (images / path.name).unlink()
    settle()
    full.append(run_flow(environment, "rebuild", str(config)))
    shutil.rmtree(folder)
    base = min(t.call for t in empty)
    part, whole = min(t.call for t in added) - base, min(t.call for t in full) - base
    row = Row(
        f"rebuild with 1% new images, {len(late[0])} on {len(early):,}",
        f"{part:.2f} s beyond an empty flow",
        f"full rebuild: {whole:.1f} s beyond",
        f"{part / whole:.1%}",
        f"< {REACH_SHARE:.0%}",
        part / whole < REACH_SHARE,
        {
            "full_s": [t.call for t in full],
            "added_s": [t.call for t in added],
            "empty_s": [t.call for t in empty],
        },
    )
    say(f"  {row.figure}; {row.peer}; {row.ratio}")
    return row


def _copy(paths: Sequence[Path], folder: Path) -> None:
    for path in paths:
        shutil.copy2(path, folder / path.name)
