"""How fast training is on this machine: `make bench-train`.

For each size the automatic configuration is trained for some steps on JPEG shards, plain (32 bit
with TF32, nothing compiled) and with each set of optimizations, in a process of its own. A row
gives seconds per 1,000 images, memory, the share of the time in which the loop waited for data, and
model FLOP utilization: the operations that the mathematics asks for, over the time, over what a
large matrix product reaches on the same card in the same run.

Needs nothing but what training needs, so that it runs on a bare GPU machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.common import SCRATCH, Row, markdown, say

SIZES: Final = {"256×256": (256, 256), "384×512": (512, 384), "512×512": (512, 512)}
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "plain": {
        "network": {"half": "off"},
        "speed": {"compile": False, "cuda_graphs": "off", "channels_last": "off"},
    },
    "16 bit": {
        "network": {"half": "bfloat16"},
        "speed": {"compile": False, "cuda_graphs": "off", "channels_last": "on"},
    },
    "16 bit, graphs": {
        "network": {"half": "bfloat16"},
        "speed": {"compile": False, "cuda_graphs": "on", "channels_last": "on"},
    },
    "16 bit, graphs, folded": {
        "network": {"half": "bfloat16"},
        "speed": {
            "compile": False,
            "cuda_graphs": "on",
            "channels_last": "on",
            "fold_filters": True,
        },
    },
    "16 bit, compiled": {
        "network": {"half": "bfloat16"},
        "speed": {"compile": True, "cuda_graphs": "off", "channels_last": "on"},
    },
    "16 bit, compiled, graphs": {
        "network": {"half": "bfloat16"},
        "speed": {"compile": True, "cuda_graphs": "on", "channels_last": "on"},
    },
}
_PICTURES: Final = 256
_CPU_SIZE: Final = (64, 48)


def write_version(folder: Path, size: tuple[int, int]) -> Path:
    """Write smooth random pictures as a published version."""
    import numpy as np
    from PIL import Image

    if (folder / "manifest.json").is_file():
        return folder
    (folder / "shards").mkdir(parents=True)
    rng = np.random.default_rng(0)
    shard = folder / "shards" / "00000.tar"
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(_PICTURES):
            coarse = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)
            sink = io.BytesIO()
            image.save(sink, "JPEG", quality=95, subsampling="4:4:4")
            for name, data in (("jpg", sink.getvalue()), ("json", b'{"label":null,"tags":[]}')):
                info = tarfile.TarInfo(f"{number:064x}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    entry = {"name": shard.name, "sha256": digest, "bytes": shard.stat().st_size}
    manifest = {
        "version": 1,
        "hash": digest,
        "items": _PICTURES,
        "labels": {},
        "inverted": False,
        "height": size[0],
        "width": size[1],
        "shards": [{**entry, "samples": _PICTURES}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def measure(
    size: tuple[int, int], overrides: dict[str, Any], *, preset: str, device_name: str, steps: int
) -> dict[str, Any]:
    """Train for some steps in this process; gives what it took."""
    entered = time.perf_counter()
    import torch

    from training.build import build
    from training.cost import estimate
    from training.data.check import check
    from training.data.select import select
    from training.data.stream import Stream
    from training.distributed import Team
    from training.presets import resolve
    from training.shards import PublishedVersion
    from training.trainer import Trainer

    device = torch.device(device_name)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config = resolve(preset, overrides, size=size, gpus=1)
    name = f"training_speed/{size[0]}x{size[1]}"
    version = PublishedVersion(write_version(SCRATCH / name, size))
    selection = select(check(version, cache=version.folder), config.data)
    networks = build(config.network, size, 0, device, fold_filters=config.speed.fold_filters)
    trainer = Trainer(config, networks, Team(0, 1, device))
    waited = 0.0

    def synchronize() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    with Stream(
        version, selection, batch=trainer.batch, workers=config.data.workers, pin_memory=on_gpu
    ) as stream:

        def train(count: int) -> None:
            nonlocal waited
            for _ in range(count):
                begun = time.perf_counter()
                batch = next(stream)
                waited += time.perf_counter() - begun
                trainer.train_step(batch.pixels.to(device, non_blocking=True))

        started = time.perf_counter() - entered
        begun = time.perf_counter()
        train(18)  # every lazy phase once, and the plain step again
        synchronize()
        warm_up = time.perf_counter() - begun
        trainer.take_rows()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        rounds = []
        waited = 0.0
        for _ in range(3):
            begun = time.perf_counter()
            train(steps)
            synchronize()
            rounds.append(time.perf_counter() - begun)
        rows = trainer.take_rows()
    images = steps * trainer.batch
    seconds = sorted(rounds)[1]
    cost = estimate(config, size, 0, device)
    return {
        "batch": trainer.batch,
        "s_kimg": seconds / images * 1000,
        "rounds": rounds,
        "warm_up": warm_up,
        "started": started,
        "data_share": waited / sum(rounds),
        "memory": torch.cuda.max_memory_reserved() if on_gpu else None,
        "flops": cost.flops_per_image * images / seconds,
        "losses": {"G": rows[:, 0].nanmean().item(), "D": rows[:, 1].nanmean().item()},
    }


def measure_networks(size: tuple[int, int]) -> dict[str, Any]:
    """Time one forward and backward pass of each network, plain and compiled; milliseconds."""
    import torch
    from torch import Tensor, nn

    from training.build import build
    from training.presets import resolve

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    device = torch.device("cuda")
    config = resolve("stylegan2-ada", {"network": {"half": "bfloat16"}}, size=size, gpus=1)
    nets = build(config.network, size, 0, device)
    n = config.optimizer.batch_gpu or 1
    x = torch.randn(n, 3, *size, device=device).to(memory_format=torch.channels_last)
    ws = torch.randn(n, nets.G.num_ws, nets.G.w_dim, device=device)
    noises = nets.G.draw_noise(n, torch.Generator(device), device)
    found: dict[str, Any] = {"batch": n}

    def timed(network: Callable[..., Tensor], *inputs: Any) -> float:
        def passes() -> None:
            network(*inputs).float().sum().backward()

        passes()
        passes()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(10):
            passes()
        torch.cuda.synchronize()
        return (time.perf_counter() - begun) * 100

    parts: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {
        "D": (nets.D, (x,)),
        "G": (nets.G.synthesis, (ws, noises)),
    }
    for name, (network, inputs) in parts.items():
        found[f"{name}_ms"] = timed(network, *inputs)
        begun = time.perf_counter()
        fast = torch.compile(network, fullgraph=True, dynamic=False)
        fast(*inputs).float().sum().backward()
        torch.cuda.synchronize()
        found[f"{name}_compiling_s"] = time.perf_counter() - begun
        found[f"{name}_compiled_ms"] = timed(fast, *inputs)
    return found


def network_rows(size: str) -> Iterator[Row]:
    """Measure the networks alone on the GPU."""
    found = _in_child([size, "networks"])
    if isinstance(found, str):
        yield Row(f"{size}, networks alone", found)
        return
    for name in ("G", "D"):
        fast, plain = found[f"{name}_compiled_ms"], found[f"{name}_ms"]
        yield Row(
            f"{size}, {name} alone, forward and backward, batch {found['batch']}, compiled",
            f"{fast:.1f} ms, compiled in {found[f'{name}_compiling_s']:.0f} s",
            f"not compiled: {plain:.1f} ms",
            f"{plain / fast:.1f}×",
            numbers=found,
        )


def matrix_flops() -> float:
    """Measure what a large bfloat16 matrix product reaches on the GPU, FLOP/s."""
    import torch

    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * n**3 / (time.perf_counter() - begun)


def _in_child(arguments: list[str]) -> dict[str, Any] | str:
    """Measure in a process of its own, so that memory and failures are its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training_speed", "--child", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return f"failed, exit code {done.returncode}"
    return result


def run_gpu(sizes: list[str], variants: list[str], steps: int) -> Iterator[Row]:
    """Measure sizes × variants on the GPU."""
    import torch

    peak = matrix_flops()
    say(f"{torch.cuda.get_device_name()}: {peak / 1e12:.0f} TFLOP/s, torch {torch.__version__}")
    torch.cuda.empty_cache()
    for size in sizes:
        plain: float | None = None
        for variant in variants:
            found = _in_child([size, variant, "--steps", str(steps)])
            what = f"{size}, {variant}"
            if isinstance(found, str):
                yield Row(what, found)
                continue
            say(f"  {what}: {json.dumps(found)}")
            plain = found["s_kimg"] if variant == "plain" else plain
            yield Row(
                f"{what}, batch {found['batch']}",
                f"{found['s_kimg']:.2f} s/kimg, {1000 / found['s_kimg']:.0f} images/s, "
                f"{found['memory'] / 1e9:.1f} GB, waits for data {found['data_share']:.1%}",
                f"{found['flops'] / peak:.1%} of {peak / 1e12:.0f} TFLOP/s",
                f"{found['s_kimg'] / plain:.2f} of plain" if plain else "",
                numbers=found,
            )


def run_cpu(steps: int) -> Row:
    """Measure the `tiny` preset at 48×64 on the CPU."""
    found = _in_child(["tiny", "cpu", "--steps", str(steps)])
    if isinstance(found, str):
        return Row("tiny, 48×64, CPU", found)
    step = found["s_kimg"] * found["batch"] / 1000
    return Row(
        f"tiny, 48×64, batch {found['batch']}, CPU",
        f"{step:.3f} s a step, {1 / step * found['batch']:.0f} images/s",
        reach="≤ 1 s",
        met=step <= 1,
        numbers=found,
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="with --child: size and variant")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--networks", action="store_true", help="also the networks alone")
    parser.add_argument("--child", action="store_true")
    asked = parser.parse_args()
    if asked.child:
        size, variant = asked.what
        if variant == "networks":
            found = measure_networks(SIZES[size])
        elif variant == "cpu":
            found = measure(_CPU_SIZE, {}, preset="tiny", device_name="cpu", steps=asked.steps)
        else:
            found = measure(
                SIZES[size],
                {**VARIANTS[variant], "data": {"workers": 4}},
                preset="stylegan2-ada",
                device_name="cuda",
                steps=asked.steps,
            )
        print(json.dumps(found))
        return
    import torch

    rows = []
    if torch.cuda.is_available():
        rows += list(run_gpu(asked.sizes, asked.variants, asked.steps))
        for size in asked.sizes if asked.networks else ():
            rows += list(network_rows(size))
    else:
        say("no GPU here: only the CPU is measured")
    rows.append(run_cpu(16))
    print(markdown(rows))


if __name__ == "__main__":
    main()
