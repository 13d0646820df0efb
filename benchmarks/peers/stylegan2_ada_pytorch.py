"""Run stylegan2-ada-pytorch beside our own training, on the same pictures and the same GPU.

    python -m benchmarks.peers.stylegan2_ada_pytorch CHECKOUT [--python PYTHON]

`CHECKOUT` is a clone of it, `PYTHON` an interpreter with what it needs (PyTorch, click, ninja, …).
None of its code is kept here: it is started by its documented command line, and its log is read. It
trains on squares only, so it gets 512×512 and its seconds per kimg are scaled by the pixels of
384×512. Its automatic configuration for one GPU is what our `stylegan2-ada` preset follows; its
path-length regularization and augmentation are on, as ours are.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from benchmarks.common import SCRATCH, Row, markdown, say
from benchmarks.training_speed import SIZES, run_gpu, write_version

REACH: Final = 0.67
_SPEED: Final = re.compile(r"sec/kimg\s+([\d.]+)")
_KIMG: Final = 16  # four of its ticks; the first, which warms up, does not count
_OURS: Final = ("16 bit, graphs", "16 bit, compiled")


def write_zip(version: Path, target: Path) -> Path:
    """Pack a version's pictures as the peer reads them: images and `dataset.json`."""
    from PIL import Image

    with (
        tarfile.open(version / "shards" / "00000.tar") as tar,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed,
    ):
        for number, member in enumerate(m for m in tar if m.name.endswith(".jpg")):
            data = tar.extractfile(member)
            assert data is not None
            sink = io.BytesIO()
            Image.open(data).save(sink, "PNG", compress_level=0)
            packed.writestr(f"00000/img{number:08d}.png", sink.getvalue())
        packed.writestr("dataset.json", json.dumps({"labels": None}))
    return target


def command(python: Path, data: Path, out: Path) -> list[str]:
    """Give the peer's command line."""
    return [
        str(python),
        "train.py",
        f"--outdir={out}",
        f"--data={data}",
        "--gpus=1",
        "--cfg=auto",
        "--aug=ada",
        "--metrics=none",
        f"--kimg={_KIMG}",
        "--snap=1000",
    ]


def seconds_per_kimg(log: str) -> float:
    """Read the speed from its log: the middle of all ticks but the first.

    Raises
    ------
    ValueError
        If there are fewer than two ticks.
    """
    ticks = [float(found) for found in _SPEED.findall(log)][1:]
    if not ticks:
        raise ValueError("its log has fewer than two ticks with `sec/kimg`; did it fail?")
    return sorted(ticks)[len(ticks) // 2]


def main() -> None:
    """Run both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="clone of stylegan2-ada-pytorch")
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    asked = parser.parse_args()
    folder = SCRATCH / "peers-training"
    folder.mkdir(parents=True, exist_ok=True)
    version = write_version(SCRATCH / "training_speed" / "512x512", SIZES["512×512"])
    data = write_zip(version, folder / "data.zip")
    say("training the peer")
    done = subprocess.run(
        command(asked.python, data, folder / "runs"),
        cwd=asked.checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (folder / "peer.log").write_text(done.stdout, encoding="utf-8")
    try:
        peer = seconds_per_kimg(done.stdout)
    except ValueError as error:
        sys.exit(f"the peer ended with exit code {done.returncode}: {error} See {folder}/peer.log")
    scaled = peer * 384 / 512
    rows = [Row("stylegan2-ada-pytorch, 512×512, auto", f"{peer:.2f} s/kimg")]
    for row in run_gpu(["384×512"], list(_OURS), 32):
        speed = row.numbers.get("s_kimg")
        rows.append(
            Row(
                row.what,
                row.figure,
                f"peer, scaled by pixels: {scaled:.2f} s/kimg",
                f"{speed / scaled:.2f}" if speed else "",
                f"≤ {REACH}",
                None if speed is None else speed <= REACH * scaled,
            )
        )
    print(markdown(rows))


if __name__ == "__main__":
    main()
