"""The catalog of one dataset: its tables, its packs, its lock."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

from data_catalog import locks
from data_catalog.errors import CatalogError
from data_catalog.packs import PackStore
from data_catalog.schema import TABLES
from data_catalog.storage import Root
from data_catalog.tables import Table

_DELTA_OPTION: Final = re.compile(r"(AWS|AZURE|GOOGLE|AMAZON)_\w+|timeout|allow_http")
_ONE_WRITER: Final = "AWS_S3_ALLOW_UNSAFE_RENAME"
_S3_TO_DELTA: Final = {
    "key": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
    "token": "AWS_SESSION_TOKEN",
    "endpoint_url": "AWS_ENDPOINT_URL",
}


class Catalog:
    """Everything that is known about the images of one dataset.

    Parameters
    ----------
    root
        Local folder or fsspec URL. It is created by the first write.
    storage_options
        For fsspec (`key`, `secret`, `endpoint_url`, …). Names in capitals such as `AWS_REGION`
        go to the tables only; fsspec's names for S3 credentials are passed on to the tables too.
    """

    def __init__(
        self, root: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
    ) -> None:
        for_files, self._for_tables = _split(storage_options or {})
        self.root = Root(root, for_files)
        if self.root.is_local and "%" in self.root.path:
            # delta-rs takes it for an escape and looks elsewhere.
            raise CatalogError(f"`root` must not contain `%`, got {self.root.path}; rename it")
        self.raw = PackStore(self.root.child("raw"))

    def __repr__(self) -> str:
        return f"Catalog({self.root.url!r})"

    def standard(self, recipe_id: str) -> PackStore:
        """Give the packs of standardized images of one recipe."""
        if not re.fullmatch(r"[\w.-]+", recipe_id) or recipe_id.startswith("."):
            raise CatalogError(
                f"`recipe_id` must be letters, digits, `-`, `_` and `.`, got {recipe_id!r}"
            )
        return PackStore(self.root.child("standard", recipe_id))

    def table(self, name: str) -> Table:
        """Give a table by its name in `schema.TABLES`."""
        if name not in TABLES:
            raise CatalogError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return Table(
            name,
            TABLES[name],
            self.root.child("catalog", name).url,
            self._for_tables,
            guard=partial(locks.check, self.root),
        )

    def lock(self, purpose: str) -> AbstractContextManager[None]:
        """Hold the catalog as its only writer: see `locks.lock`.

        Where the options say that nobody else writes (`AWS_S3_ALLOW_UNSAFE_RENAME`), nothing is
        held: it is for stores that have no conditional writes.
        """
        if self._for_tables.get(_ONE_WRITER, "").lower() == "true":
            return nullcontext()
        return locks.lock(self.root, purpose)


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Options for fsspec, and those for delta-rs, which wants its own names and only strings."""
    for_files = {k: v for k, v in options.items() if not _DELTA_OPTION.fullmatch(k)}
    for_tables = {_S3_TO_DELTA[k]: str(v) for k, v in options.items() if k in _S3_TO_DELTA}
    if str(options.get("endpoint_url", "")).startswith("http://"):
        for_tables["AWS_ALLOW_HTTP"] = "true"
    for_tables |= {k: str(v) for k, v in options.items() if _DELTA_OPTION.fullmatch(k)}
    return for_files, for_tables
