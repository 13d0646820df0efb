"""What a crawl is told: its source, what is known already, and where it broke off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.ingest.offers import Known
from curation.ingest.web.history import latest
from curation.recipe import Limits


@dataclass(frozen=True, slots=True)
class Job:
    """What the child process gets.

    Attributes
    ----------
    source : dict
        The config of the source, as JSON values.
    limits : Limits
    crawl : str
        Id of the crawl: that of one that broke off, or a new one.
    folder : str
        Holds `known.arrow` and `pages.arrow`, and `parsing`, which names the page that is being
        read: it says which one it was when the process dies of it.
    """

    source: Mapping[str, Any]
    limits: Limits
    crawl: str
    folder: str

    def write(self, known: Known) -> Path:
        """Write all that the child needs into `folder`; give the file that names the rest."""
        folder = Path(self.folder)
        _write(folder / "known.arrow", known.table)
        _write(folder / "pages.arrow", latest(known.pages))
        (folder / "parsing").touch()
        file = folder / "job.json"
        values = {
            "source": self.source,
            "limits": self.limits.model_dump(mode="json"),
            "crawl": self.crawl,
        }
        file.write_text(json.dumps(values), encoding="utf-8")
        return file

    @classmethod
    def read(cls, file: Path) -> Job:
        """Read what `write` wrote."""
        values = json.loads(file.read_text("utf-8"))
        limits = Limits.model_validate(values["limits"])
        return cls(values["source"], limits, values["crawl"], str(file.parent))

    def known(self) -> Known:
        """Give what the catalog knows of the source; mapped, not read, into memory.

        To be called once: nothing large is left behind if all is killed.
        """
        folder = Path(self.folder)
        return Known(_read(folder / "known.arrow"), _read(folder / "pages.arrow"))

    @property
    def marker(self) -> Path:
        """File that names the page which is being read."""
        return Path(self.folder) / "parsing"


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> pa.Table:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    path.unlink()
    return table


class Visited:
    """The latest row of each URL that earlier crawls fetched, from `history.latest`."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._at = {url: row for row, url in enumerate(self._rows["url"].to_pylist())}

    def get(self, url: str) -> dict[str, Any] | None:
        """Give the row of a URL, or None."""
        row = self._at.get(url)
        return None if row is None else self._rows.slice(row, 1).to_pylist()[0]
