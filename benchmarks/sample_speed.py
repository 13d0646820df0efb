"""How fast pictures come out of a model: samples into files, and the explorer's answers to edits.

Samples are held against the generator's bare forward at its best batch, on the same weights in the
same run. The explorer is a process of its own; each of its users asks for the next edit when the
last has come, so ten of them are ten sliders that never rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image

from benchmarks.common import Row, fresh, say

REACH: Final = 0.85
"""Of the bare forward, encoding included."""
SIZES_CPU: Final = ((64, 48), (256, 192))
SIZES_GPU: Final = ((256, 192), (512, 384))
FIRST: Final = {"cpu": 1.0, "cuda": 0.06}
"""Seconds in which an edit shall show; on a GPU at 512 × 384 (height × width)."""
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
USERS: Final = {1: 40, 10: 8}
"""Edits of each user, by how many there are."""
LONGEST: Final = 4.0
"""Seconds that a batch may take."""
ROUNDS: Final = 3
SECONDS: Final = 6.0
"""About so long each measurement of samples takes."""


def run() -> list[Row]:
    """Measure; rows of the table."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for size in SIZES_GPU if device == "cuda" else SIZES_CPU:
        folder = fresh(f"sample-{size[0]}")
        root = folder / "data"
        make_run(folder, root / "models" / "bench", size)
        rows += samples(root / "models" / "bench", size, device, folder)
        if size != SIZES_CPU[0]:
            rows += explorer(folder, root, size, device)
        shutil.rmtree(folder)
    return rows


def make_run(folder: Path, run_folder: Path, size: tuple[int, int]) -> None:
    """Train one step of the default networks at a size: speed does not depend on what they know."""
    from training.request import Request
    from training.session import train

    say(f"making a model of {size[0]} × {size[1]} px")
    version = _version(folder / "version", size)
    overrides: dict[str, Any] = {
        "optimizer": {"batch": 2},
        "augment": {"mode": "off"},
        "run": {"total_kimg": 0.002, "tick_kimg": 0.002, "snapshot_ticks": 1, "device": "cpu"},
    }
    train(Request(str(version), run_folder, preset="stylegan2-ada", overrides=overrides))


def _version(folder: Path, size: tuple[int, int]) -> Path:
    from data_catalog.shards import Sample, ShardWriter
    from data_catalog.storage import Root

    draw = np.random.default_rng(0)
    (folder / "shards").mkdir(parents=True)
    with ShardWriter(Root(folder / "shards"), samples_per_shard=8) as writer:
        for number in range(8):
            out = io.BytesIO()
            Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)).save(out, "JPEG")
            about = b'{"label":null,"tags":[]}'
            writer.add(Sample(f"{number:064x}", "jpg", out.getvalue(), about))
    manifest = {
        "version": 1,
        "hash": hashlib.sha256(str(size).encode()).hexdigest(),
        "items": 8,
        "labels": {},
        "inverted": True,
        "width": size[1],
        "height": size[0],
        "shards": [asdict(shard) for shard in writer.shards],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def samples(run_folder: Path, size: tuple[int, int], device: str, folder: Path) -> list[Row]:
    """Hold pictures in files against the bare forward, each at its best of the same batches."""
    from training.models import load_snapshot

    model = load_snapshot(run_folder, device=device)
    bare: dict[int, float] = {}
    for batch in BATCHES:
        if bare and batch / max(bare.values()) > LONGEST:
            break  # more at once are no faster where few take so long
        bare[batch] = _bare(model, batch)
    best = max(bare, key=lambda batch: bare[batch])
    say(f"{size}: bare forward " + ", ".join(f"{b}: {rate:.1f}/s" for b, rate in bare.items()))
    name = f"{size[0]} × {size[1]} px, {device}"
    rates = " · ".join(f"{batch}: {rate:.4g}/s" for batch, rate in bare.items())
    rows = [Row(f"bare forward by batch, {name}", rates), _rounding(model, name)]
    for form in ("jpeg", "png"):
        pairs = [
            (_bare(model, best), _written(model, best, bare[best], form, folder))
            for _ in range(ROUNDS)
        ]
        floor, rate = (float(np.median(values)) for values in zip(*pairs, strict=True))
        ratio = float(np.median([made / forward for forward, made in pairs]))
        rows.append(
            Row(
                f"samples as {form.upper()}, {name}, batch {best}",
                f"{rate:.1f}/s",
                f"bare forward {floor:.1f}/s",
                f"{ratio:.2f}",
                f"{REACH:g}",
                ratio >= REACH,
                {"bare": bare, "pairs": pairs},
            )
        )
    return rows


def _rounding(model: Any, name: str) -> Row:
    """Count the values of pictures that differ between batches of 1 and of 8."""
    from training.latent.sampler import Sampler

    one, eight = (
        sampler.render(sampler.ws(range(16))).astype(int)
        for sampler in (Sampler(model, 1), Sampler(model, 8))
    )
    apart = np.abs(one - eight)
    return Row(
        f"values of 16 pictures that a batch of 8 rounds otherwise than one of 1, {name}",
        f"{(apart > 0).sum():,} of {apart.size:,}, by {apart.max()} at most",
    )


def _bare(model: Any, batch: int) -> float:
    import torch

    G = model.G
    z = torch.randn(batch, G.z_dim, device=G.w_avg.device)
    noises = G.fixed_noise(batch)

    def forward() -> None:
        with torch.no_grad():
            G.synthesis(G.spread(G.mapping(z), 0.7), noises)
        if z.is_cuda:
            torch.cuda.synchronize()

    forward()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS / 6 or done < 2:
        forward()
        done += 1
    return batch * done / (time.perf_counter() - began)


def _written(model: Any, batch: int, rate: float, form: Any, folder: Path) -> float:
    from training.latent.draws import Truncation
    from training.latent.images import Wish, write_images
    from training.latent.sampler import Sampler

    count = max(int(rate * SECONDS) // batch, 2) * batch
    wish = Wish(range(count), Truncation(0.7), form=form)
    began = time.perf_counter()
    write_images(Sampler(model, batch), wish, folder / "out")
    took = time.perf_counter() - began
    shutil.rmtree(folder / "out")
    return count / took


def explorer(folder: Path, root: Path, size: tuple[int, int], device: str) -> list[Row]:
    """Measure how long edits take to come, as users wait for them."""
    config = folder / "nonesuch.toml"
    config.write_text(
        f'[dataset]\nname = "bench"\nroot = "{root}"\n\n'
        '[[sources]]\nkind = "folder"\npath = "none"\n',
        encoding="utf-8",
    )
    rows = []
    with _served(config, device) as address:
        run_name, snapshot, key = _model(address)
        place = f"/explore/{run_name}/{snapshot}/picture?v={key}&rush=true&look="
        for users, edits in USERS.items():
            with ThreadPoolExecutor(users) as pool:
                parts = list(
                    pool.map(
                        lambda user, edits=edits: _edits(address, place, user, edits), range(users)
                    )
                )
            took = np.sort(np.concatenate(parts))
            p50, p95 = (float(np.percentile(took, at)) for at in (50, 95))
            reach = FIRST[device]
            counts = users == 1 and (device == "cpu" or size[0] == 512)
            rows.append(
                Row(
                    f"an edit in the explorer, {size[0]} × {size[1]} px, {device}, "
                    f"{users} user{'s' * (users > 1)} who never rest{'s' * (users == 1)}",
                    f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms",
                    reach=f"{reach * 1000:.0f} ms" if counts else "",
                    met=p95 <= reach if counts else None,
                    numbers={"seconds": took.tolist()},
                )
            )
    return rows


@contextlib.contextmanager
def _served(config: Path, device: str) -> Iterator[str]:
    command = [sys.executable, "-m", "flows.cli", "explore", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--device", device, "-c", str(config)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait()


def _connection(address: str) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """Log in; give a connection and the headers that belong to it."""
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=120)
    headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/api/session", json.dumps({"name": "bench"}), headers)
    response = connection.getresponse()
    response.read()
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    return connection, {"Cookie": cookie}


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> bytes:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {data[:200]!r}")
    return data


def _model(address: str) -> tuple[str, str, str]:
    connection, headers = _connection(address)
    told = json.loads(_get(connection, "/api/explore/models", headers))["runs"][0]
    snapshot = told["snapshots"][0]
    place = f"/api/explore/models/{told['name']}/{snapshot['name']}"
    _get(connection, place, headers)  # loads it
    return told["name"], snapshot["name"], snapshot["key"]


def _edits(address: str, place: str, user: int, count: int) -> list[float]:
    """Move a slider: ask for one edit after the other; seconds that each took to come."""
    connection, headers = _connection(address)
    took = []
    for number in range(-1, count):
        edit = {"set": "sefa", "index": 0, "amount": number / count * 6 - 3}
        look = {"look": {"seed": user, "psi": 0.7, "edits": [edit]}}
        began = time.perf_counter()
        _get(connection, place + quote(json.dumps(look)), headers)
        took.append(time.perf_counter() - began)
    return took[1:]  # the first warms up
