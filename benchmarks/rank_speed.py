"""How fast pictures are ranked, beside the bare forward pass of the discriminator.

Ranking reads pictures from packs, decodes them, runs D's trunk once and its head for every shuffle,
and commits a score for each; the other side has the same pictures as floats in memory, and runs D
over them once. Both take turns, partition by partition, in one process with as many threads, so
that whatever else the machine does hits both alike.

Pictures are 384×512 px. On a CPU the channels are those of the preset `tiny`, and pictures are few:
with the usual channels one takes seconds. On a GPU both are as in a real run.

`python -m benchmarks.rank_speed --preset stylegan2-ada --pictures 32` measures another network.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.common import Row, Skipped, fresh, markdown, photographs, say
from curation.item import process
from curation.recipe import Limits, Recipe
from curation.standardize import encode
from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.models import Model
from data_catalog.schema import FEATURES
from flows.settings import DatasetConfig, parse

REACH: Final = 0.8

_RECIPE: Final = Recipe()
_RUN: Final = "bench"
_SNAPSHOT: Final = "kimg-000001.000"
_PARTS: Final = 4
_SMALLEST: Final = 32  # pictures; smaller partitions are filled up with companions


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured, and with what."""

    device: str
    preset: str
    pictures: int
    batch: int
    shuffles: int

    @classmethod
    def usual(cls) -> Asked:
        """Give what suits the machine."""
        import torch

        if torch.cuda.is_available():
            return cls("cuda", "stylegan2-ada", 16_000, 64, 8)
        return cls("cpu", "tiny", 128, 16, 8)


@dataclass
class Spent:
    """Seconds of both sides, partition by partition: wall, and processor time of all threads."""

    pictures: list[int] = field(default_factory=list)
    ours: list[tuple[float, float]] = field(default_factory=list)
    bare: list[tuple[float, float]] = field(default_factory=list)

    def speed(self, side: str) -> float:
        """Give pictures a second."""
        seconds = sum(wall for wall, _ in getattr(self, side))
        return sum(self.pictures) / seconds

    @property
    def processor_ratio(self) -> float:
        """Give the processor time of the bare pass over ours."""
        return sum(busy for _, busy in self.bare) / sum(busy for _, busy in self.ours)


def run() -> list[Row]:
    """Measure what suits the machine."""
    return [measure(Asked.usual())]


def measure(asked: Asked) -> Row:
    """Rank in partitions, and after each run D over its pictures; give one row."""
    folder = fresh("rank_speed")
    config = _config(folder, asked)
    model = _prepare(config, asked)
    spent = _take_turns(config, model, asked)
    ours, bare = spent.speed("ours"), spent.speed("bare")
    ratio = ours / bare
    say(f"ranking {ours:.2f} pictures/s, bare D {bare:.2f}")
    return Row(
        f"rank 384×512, {asked.preset} channels, {asked.device}, {asked.pictures} pictures",
        f"{ours:.2f} pictures/s",
        f"D's bare forward {bare:.2f} pictures/s",
        f"{ratio:.2f} ({spent.processor_ratio:.2f} by processor time)",
        f"at least {REACH}",
        ratio >= REACH,
        {
            "ours": ours,
            "bare": bare,
            "processor_ratio": spent.processor_ratio,
            "partitions": [
                {"pictures": n, "ours": o, "bare": b}
                for n, o, b in zip(spent.pictures, spent.ours, spent.bare, strict=True)
            ],
        },
    )


def _config(folder: Path, asked: Asked) -> DatasetConfig:
    raw: dict[str, Any] = {
        "dataset": {"name": "bench", "root": "data"},
        "rank": {
            "device": asked.device,
            "batch": asked.batch,
            "shuffles": asked.shuffles,
            "partition": max(_SMALLEST, -(-asked.pictures // _PARTS)),
        },
    }
    return parse(raw, name="nonesuch.toml", folder=folder)


def _prepare(config: DatasetConfig, asked: Asked) -> Model:
    """Store pictures as a rebuild leaves them, and a run as a training leaves it."""
    catalog = Catalog(config.dataset.root)
    _store(catalog, asked.pictures)
    model = Model(
        model=f"{_RUN}@{_SNAPSHOT}",
        runs=(_RUN,),
        snapshots=((_SNAPSHOT,),),
        version=None,
        version_hash=None,
        recipe=_RECIPE.id,
        height=_RECIPE.height,
        width=_RECIPE.width,
        kimg=1.0,
    )
    models.register(catalog, model)
    _save_run(Path(config.dataset.root) / "models" / _RUN, asked)
    return model


def _store(catalog: Catalog, count: int) -> None:
    """Fill packs with photographs, again and again, or with drawn ones where there are none."""
    pictures = _pictures(min(count, 256))
    rows = []
    for first in range(0, count, 2000):
        with catalog.standard(_RECIPE.id).writer() as writer:
            for number in range(first, min(first + 2000, count)):
                ref = writer.add(f"{number:064x}", pictures[number % len(pictures)])
                place = {"pack": ref.pack, "offset": ref.offset, "length": ref.length}
                item = f"{number:064x}"
                rows.append({"item_id": item, "image_id": item, "recipe": _RECIPE.id, **place})
    catalog.table("features").append(pa.Table.from_pylist(rows, schema=FEATURES))


def _pictures(count: int) -> list[bytes]:
    try:
        paths = photographs()[:count]
    except Skipped:
        return [_drawn(seed) for seed in range(count)]
    say(f"standardizing {len(paths)} photographs")
    found = (process(path.stem, path.read_bytes(), _RECIPE, Limits()) for path in paths)
    return [item.image for items in found for item in items if item.image is not None]


def _drawn(seed: int) -> bytes:
    from curation.synthetic.drawing import draw_product
    from curation.synthetic.outlines import KINDS

    rng, size = np.random.default_rng(seed), (_RECIPE.height, _RECIPE.width)
    kind = list(KINDS)[seed % len(KINDS)]
    return encode(draw_product(rng, kind, size), _RECIPE.format, _RECIPE.quality)


def _save_run(run: Path, asked: Asked) -> None:
    """Save networks with fresh weights: how fast they are does not depend on what they know."""
    import torch

    from training.build import build
    from training.presets import resolve
    from training.runs.snapshots import Snapshot, save

    size = (_RECIPE.height, _RECIPE.width)
    config = resolve(asked.preset, {}, size=size, gpus=1)
    networks = build(config.network, size, 0, torch.device("cpu"))
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, network in networks.named().items()
        for name, tensor in network.state_dict().items()
    }
    values = {
        "config": config.model_dump(mode="json"),
        "version_hash": "none",
        "version": 1,
        "inverted": False,
        "size": list(size),
        "labels": [],
        "cur_nimg": 1000,
    }
    save(run / "snapshots", _SNAPSHOT, Snapshot(tensors, values))


def _take_turns(config: DatasetConfig, model: Model, asked: Asked) -> Spent:
    import torch

    from curation.stages.scores import finish_scores
    from flows import tasks
    from flows.catalog import open_catalog
    from flows.ranking import scoring

    catalog = open_catalog(config)
    judges = scoring.judges_of(config, model, 0)
    D = judges.jury(0)
    threads = torch.get_num_threads()
    spent = Spent()
    parts = scoring.plan_parts(config, model, lambda: pa.table({})).parts
    for number, part in enumerate(parts):
        images = _in_memory(config, part.rows)
        forward = _forward(D, images, judges.device)
        if number == 0:  # libraries choose their kernels
            _timed(_forward(D, images[:1], judges.device), judges.device)
        label = f"{number + 1} of {len(parts)}"
        last = number == len(parts) - 1

        def work(part: Any = part, label: str = label, last: bool = last) -> None:
            tasks.rank_partition.fn(config, model, part, label)
            if last:
                finish_scores(catalog, config.recipe, model.model)

        spent.pictures.append(part.rows.num_rows)
        spent.ours.append(_timed(work, judges.device))
        assert torch.get_num_threads() == threads
        spent.bare.append(_timed(forward, judges.device))
    return spent


def _in_memory(config: DatasetConfig, rows: pa.Table) -> list[Any]:
    """Give the pictures of a partition as D takes them, in batches."""
    import torch

    from curation.stages.pictures import standard_pictures
    from flows.catalog import open_catalog
    from training.watch.grids import to_tensor

    found = standard_pictures(open_catalog(config), config.recipe, rows, batch=config.rank.batch)
    return [
        to_tensor(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()) for _, pixels in found
    ]


def _forward(D: Any, batches: Sequence[Any], device: Any) -> Callable[[], None]:
    import torch

    there = [batch.to(device) for batch in batches]

    def work() -> None:
        with torch.no_grad():
            for batch in there:
                D.head(D.features(batch))

    return work


def _timed(work: Callable[[], None], device: Any) -> tuple[float, float]:
    """Give seconds of wall and of processor time."""
    import torch

    began, busy = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, time.process_time() - busy


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for, and print the row."""
    usual = Asked.usual()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rank_speed", description=__doc__)
    parser.add_argument("--device", default=usual.device, choices=["cpu", "cuda"])
    parser.add_argument("--preset", default=usual.preset)
    parser.add_argument("--pictures", type=int, default=usual.pictures)
    parser.add_argument("--batch", type=int, default=usual.batch)
    parser.add_argument("--shuffles", type=int, default=usual.shuffles)
    print(markdown([measure(Asked(**vars(parser.parse_args(arguments))))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
