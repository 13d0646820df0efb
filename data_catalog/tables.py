"""One Delta Lake table: read, append, overwrite; a writer that comes second is told so.

A commit is one file that only one writer can create, so that readers see all of it or nothing.
A commit that must build on a known version is made without retries: delta-rs then neither
resolves conflicts nor tries the next number, and the second of two writers fails.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from data_catalog.errors import CatalogError, ConflictError, StorageError
from data_catalog.storage import CHECK_STORE, naming, remedy_for

_ABSENT: Final = -1

# No minima and maxima in the log: nothing here prunes by them, and a forgotten item must not
# live on in the log as the smallest value of a column.
_CONFIGURATION: Final[Mapping[str, str | None]] = {"delta.dataSkippingNumIndexedCols": "0"}

_CHECK_DISK: Final = "check that the disk is neither full nor read-only, then run it again"
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m|↳")  # delta-rs' words, as for a terminal

_LET_GO: Final = 0.1  # seconds

_NO_RETRY: Final = CommitProperties(max_commit_retries=0)
_RETRY: Final = CommitProperties(max_commit_retries=50)


@functools.cache
def _wait_at_exit() -> None:
    """Let threads of Arrow let go of what they read, before the interpreter ends.

    Files of delta-rs are closed in Python, by threads that outlive a read by a moment. One that
    does so while the interpreter ends aborts the process, although its work is done.
    """
    atexit.register(time.sleep, _LET_GO)


class Table:
    """A table of the catalog. Cheap to make; nothing is opened before it is asked for.

    Parameters
    ----------
    name, schema
        From `data_catalog.schema.TABLES`.
    url
        Folder of the table: local path or URL.
    storage_options
        For delta-rs, e.g. `AWS_ENDPOINT_URL`.
    guard
        Called before each commit; raises where this writer may not write any more.
    """

    def __init__(
        self,
        name: str,
        schema: pa.Schema,
        url: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        guard: Callable[[], None] | None = None,
    ) -> None:
        self._guard = guard
        self.name = name
        self.schema = schema
        self.url = url
        self._options = dict(storage_options or {})

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {self.url!r})"

    def version(self) -> int:
        """Give the number of the last commit; -1 when the table does not exist yet."""
        table = self._open()
        return _ABSENT if table is None else int(table.version())

    def read(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Read rows in no promised order.

        Parameters
        ----------
        columns
            Only these, in this order; all by default.
        where
            Only rows for which this holds.

        Returns
        -------
        pa.Table
            Of the table's schema; no rows where the table does not exist yet.
        """
        wanted = self._schema_of(columns)
        dataset = self._dataset()
        if dataset is None:
            return wanted.empty_table()
        with naming(self.url):
            return dataset.to_table(columns=wanted.names, filter=where).cast(wanted)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        batch_rows: int = 65536,
    ) -> Iterator[pa.RecordBatch]:
        """Read like `read`, in batches of at most `batch_rows` rows; memory stays flat."""
        wanted = self._schema_of(columns)
        dataset = self._dataset()
        if dataset is None:
            return
        with naming(self.url):
            yield from dataset.to_batches(
                columns=wanted.names,
                filter=where,
                batch_size=batch_rows,
                batch_readahead=2,
                fragment_readahead=1,
            )

    def append(self, rows: pa.Table, *, if_version: int | None = None) -> int:
        """Add rows in one commit.

        Parameters
        ----------
        rows
            Columns of the schema in any order; columns that may be null can be left out.
        if_version
            Commit only if this is still the last version.

        Returns
        -------
        int
            Version after it. No rows make no commit.

        Raises
        ------
        ConflictError
            If the table has moved on from `if_version`; nothing was added.
        CatalogError
            If the rows do not fit the schema.
        """
        fitted = self.fit(rows)
        if fitted.num_rows == 0:
            version = self.version()
            self._refuse_if_moved(version, if_version)
            return version
        return self._commit(fitted, "append", if_version)

    def replace(self, rows: pa.Table, *, if_version: int | None = None) -> int:
        """Overwrite the whole table in one commit. Parameters and errors are those of `append`."""
        return self._commit(self.fit(rows), "overwrite", if_version)

    def compact(self) -> None:
        """Merge small files into large ones and shorten the log. The rows stay as they are."""
        table = self._open()
        if table is None:
            return
        if self._guard is not None:
            self._guard()
        with self._translated(table.version()):
            if len(table.file_uris()) > 1:
                table.optimize.compact(commit_properties=_NO_RETRY)
            table.create_checkpoint()

    def files(self) -> set[str]:
        """Names of the Parquet files that the last version consists of, relative to the table."""
        table = self._open()
        if table is None:
            return set()
        return {uri.rstrip("/").rsplit("/", 1)[-1] for uri in table.file_uris()}

    def fit(self, rows: pa.Table) -> pa.Table:
        """Bring rows to the schema's columns, order and types; refuse what does not fit."""
        unknown = set(rows.column_names) - set(self.schema.names)
        if unknown:
            raise CatalogError(f"table `{self.name}` has no column {sorted(unknown)}")
        columns = []
        for field in self.schema:
            if field.name in rows.column_names:
                columns.append(self._fit_column(rows[field.name], field))
            elif field.nullable:
                columns.append(pa.nulls(rows.num_rows, field.type))
            else:
                raise CatalogError(f"table `{self.name}` needs column `{field.name}`")
        return pa.table(columns, schema=self.schema)

    def _fit_column(self, column: Any, field: Any) -> Any:
        if not field.nullable and column.null_count:
            raise CatalogError(
                f"`{self.name}.{field.name}` must not be null, got {column.null_count} nulls"
            )
        try:
            return column.cast(field.type)
        except pa.ArrowException as error:
            raise CatalogError(
                f"`{self.name}.{field.name}` must be {field.type}, got {column.type}: {error}"
            ) from error

    def _schema_of(self, columns: Sequence[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        unknown = set(columns) - set(self.schema.names)
        if unknown:
            raise CatalogError(f"table `{self.name}` has no column {sorted(unknown)}")
        return pa.schema([self.schema.field(name) for name in columns])

    def _dataset(self) -> ds.Dataset | None:
        table = self._open()
        if table is None:
            return None
        with self._translated(None):
            # Files from before a column was added to the schema give nulls for it.
            return table.to_pyarrow_dataset(filesystem=self._filesystem(), schema=self.schema)

    def _filesystem(self) -> pa_fs.FileSystem | None:
        """Give Arrow's own for local files; None: delta-rs' one, for URLs."""
        if "://" in self.url:
            _wait_at_exit()
            return None
        return pa_fs.SubTreeFileSystem(self.url, pa_fs.LocalFileSystem())

    def _open(self) -> DeltaTable | None:
        with self._translated(None):
            try:
                return DeltaTable(self.url, storage_options=self._options)
            except TableNotFoundError:
                return None

    def _commit(self, rows: pa.Table, mode: Any, if_version: int | None) -> int:
        if self._guard is not None:
            self._guard()
        table = self._open()
        found = _ABSENT if table is None else table.version()
        self._refuse_if_moved(found, if_version)
        if table is None:
            return self._create(rows, mode, if_version)
        with self._translated(None if if_version is None else found):
            write_deltalake(
                table,
                rows,
                mode=mode,
                schema_mode=self._schema_mode(table, mode),
                commit_properties=_RETRY if if_version is None else _NO_RETRY,
            )
        return int(table.version())

    def _create(self, rows: pa.Table, mode: Any, if_version: int | None) -> int:
        """Write version 0; only one writer can. The others come after it, or give up."""
        try:
            if "://" not in self.url:
                with naming(self.url):
                    Path(self.url).mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self.url,
                rows,
                mode="error",
                configuration=_CONFIGURATION,
                storage_options=self._options,
                commit_properties=_NO_RETRY,
            )
        except (DeltaError, OSError) as error:
            if self.version() == _ABSENT:
                raise self._storage_error(error) from error
            if if_version is not None:
                raise self._conflict(if_version) from error
            return self._commit(rows, mode, None)
        return 0

    def _schema_mode(self, table: DeltaTable, mode: str) -> Any:
        """Let a table that was written before a column was added learn of it."""
        known = {field.name for field in table.schema().fields}
        if known == set(self.schema.names):
            return None
        return "merge" if mode == "append" else "overwrite"

    def _refuse_if_moved(self, found: int, if_version: int | None) -> None:
        if if_version is not None and found != if_version:
            raise self._conflict(if_version, found)

    def _conflict(self, expected: int, found: int | None = None) -> ConflictError:
        found = self.version() if found is None else found
        return ConflictError(
            f"table `{self.name}` must be at version {expected}, is at {found}: another writer "
            "committed first; nothing was written, run the same command again"
        )

    def _storage_error(self, error: Exception) -> StorageError:
        said = " ".join(_COLOURS.sub("", str(error)).split())
        number = re.search(r"os error (\d+)", said)
        remedy = remedy_for(int(number[1])) if number and "://" not in self.url else None
        return StorageError(
            f"table `{self.name}` at {self.url}: {said}; "
            + (remedy or (CHECK_STORE if "://" in self.url else _CHECK_DISK))
        )

    @contextlib.contextmanager
    def _translated(self, expected: int | None) -> Iterator[None]:
        """Name the table in delta-rs' errors; tell a lost race from a disk that refuses."""
        try:
            yield
        except TableNotFoundError:
            raise
        except CommitFailedError as error:
            found = self.version()
            if expected is not None and found == expected:
                raise self._storage_error(error) from error
            raise self._conflict(found if expected is None else expected, found) from error
        except (DeltaError, OSError) as error:
            raise self._storage_error(error) from error
