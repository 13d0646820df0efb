"""A dataset of small pictures, and the whole job run on it: in this process or in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.synthetic.drawing import draw_product, encode
from curation.synthetic.outlines import KINDS
from data_catalog.catalog import Catalog
from flows.settings import DatasetConfig, parse

Pixels = NDArray[np.uint8]

REPOSITORY = Path(__file__).parents[2]
WORDS = ("seen", "items", "new", "standardized", "accepted", "flagged", "rejected", "failed")

# Pictures here are a fifth of the usual size: thresholds in pixels and bytes are made to fit, and
# rules whose measures mean little on so few pixels are off.
RULES: Mapping[str, Mapping[str, Any]] = {
    "too_small": {"min_side": 60},
    "too_few_bytes": {"min_bytes": 100},
    **{
        name: {"action": "off"}
        for name in (
            "pattern",
            "busy_background",
            "off_centre",
            "cut_off",
            "tiny_subject",
            "blurred",
            "colourway",
        )
    },
}


def product(seed: int, size: tuple[int, int] = (160, 120)) -> Pixels:
    """Draw a product, (H, W, 3); another seed gives another one."""
    kinds = list(KINDS)
    return draw_product(np.random.default_rng(seed), kinds[seed % len(kinds)], size)


def fill(folder: Path, seeds: Sequence[int]) -> None:
    """Write one product for each seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:04d}.jpg").write_bytes(encode(product(seed), ".jpg", 92))


@dataclass
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line, which `--json` promises to be one JSON object."""
        return json.loads(self.out.splitlines()[-1])


@dataclass
class World:
    """One dataset below `folder`: `images/`, `nonesuch.toml`, the catalog in `root`."""

    folder: Path
    server: str = ""
    root: str = "catalog"
    raw: dict[str, Any] = field(
        default_factory=lambda: {
            "sources": [{"kind": "folder", "path": "images"}],
            "recipe": {"width": 96, "height": 128},
            "rules": dict(RULES),
            "run": {"workers": 1},
        }
    )

    @property
    def images(self) -> Path:
        """Folder of the first source."""
        return self.folder / "images"

    @property
    def catalog(self) -> Catalog:
        """The catalog, as it is."""
        return Catalog(self.folder / self.root)

    def config(self, **changes: Any) -> DatasetConfig:
        """Give the configuration; `changes` replaces whole sections, `rules` adds to them."""
        rules = {**self.raw["rules"], **changes.pop("rules", {})}
        raw = {**self.raw, "dataset": {"name": "shoes", "root": self.root}, "rules": rules}
        return parse({**raw, **changes}, name="nonesuch.toml", folder=self.folder)

    def rebuild(self, **changes: Any) -> Any:
        """Run the main job here; the four verdicts always add up."""
        return self.rebuild_at(self.catalog, **changes)

    def rebuild_at(self, catalog: Catalog, **changes: Any) -> Any:
        """Run the main job where `changes` say that the catalog lies."""
        from flows.rebuild import rebuild

        summary = rebuild(self.config(**changes))
        assert summary.accepted + summary.flagged + summary.rejected + summary.failed == (
            summary.items
        )
        assert summary.items == catalog.table("verdicts").read().num_rows
        return summary

    def publish(self, **changes: Any) -> Any:
        """Publish here."""
        from flows.publish import publish

        return publish(self.config(**changes))

    def decide(self, query: str, verdict: str, reviewer: str = "ann") -> list[str]:
        """Say what a person says."""
        from datetime import UTC, datetime

        from flows.inspect import decide

        return decide(self.config(), query, verdict, reviewer, "", datetime.now(UTC))

    # ---- What there is. --------------------------------------------------------------------------

    def table(self, name: str) -> pa.Table:
        """Read a table."""
        return self.catalog.table(name).read()

    def verdicts(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Give (verdict, reasons) by locator; each locator's latest observation counts."""
        from curation.ingest.selection import unread_id

        rows = self.table("observations").sort_by("observed_at").to_pylist()
        by_item = {row["item_id"]: row for row in self.table("verdicts").to_pylist()}
        found = {}
        for row in rows:
            item = row["image_id"] or unread_id(row["source"], row["locator"])
            if item in by_item:
                verdict = by_item[item]
                found[row["locator"]] = (verdict["verdict"], tuple(verdict["reasons"]))
        return found

    def versions(self) -> dict[str, int]:
        """Give the number of every table's last commit."""
        from data_catalog.schema import TABLES

        return {name: self.catalog.table(name).version() for name in TABLES}

    def packs(self) -> set[str]:
        """Give the paths of all packs."""
        root = self.folder / self.root
        return {str(path.relative_to(root)) for path in root.rglob("pack-*.tar")}

    def published(self) -> set[str]:
        """Give the image ids of the latest version."""
        from data_catalog.versions import load_version, read_members

        version = load_version(self.catalog)
        return set(read_members(version.path, ["image_id"])["image_id"].to_pylist())

    def image_id(self, locator: str) -> str:
        """Give the id of the image that lies there now."""
        import hashlib

        return hashlib.sha256((self.images / locator).read_bytes()).hexdigest()

    # ---- The command line. -----------------------------------------------------------------------

    def write_config(self, **changes: Any) -> Path:
        """Write `nonesuch.toml` for other processes."""
        rules = {**self.raw["rules"], **changes.pop("rules", {})}
        raw = {
            **self.raw,
            "dataset": {"name": "shoes", "root": self.root},
            "rules": rules,
            **changes,
        }
        file = self.folder / "nonesuch.toml"
        file.write_text("\n".join(f"{key} = {_toml(value)}" for key, value in raw.items()))
        return file

    def start(self, *arguments: str, prepare: Callable[[], None] | None = None) -> Process:
        """Start `nonesuch` in another process; it uses the tests' Prefect server."""
        environment = {
            **os.environ,
            "PREFECT_API_URL": self.server,
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "200",
        }
        return Process(
            subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                preexec_fn=prepare,
            )
        )

    def run(self, *arguments: str, prepare: Callable[[], None] | None = None) -> Outcome:
        """Run `nonesuch` in another process to its end."""
        return self.start(*arguments, prepare=prepare).outcome()


@dataclass
class Process:
    """A command under way in another process."""

    popen: subprocess.Popen[str]

    def outcome(self, timeout: float = 120) -> Outcome:
        """Wait for its end."""
        out, err = self.popen.communicate(timeout=timeout)
        return Outcome(self.popen.returncode, out, err)

    def kill(self) -> Outcome:
        """Kill -9 the process itself, not its workers."""
        if self.popen.poll() is None:
            self.popen.kill()
        return self.outcome()

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something is so."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until or self.popen.poll() is not None:
                raise AssertionError(self.kill())
            time.sleep(0.005)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return json.dumps(value)
