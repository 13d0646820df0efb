"""Finds items that look like another, by the distance of their perceptual hashes."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from review_ui.store.database import Database
from review_ui.store.models import review_item


class Lookalikes:
    """All hashes of the build under review, 16 bytes an item, read when first asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._build: int | None = None
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def nearest(self, build: int, hashed: int, most: int) -> list[tuple[int, int]]:
        """Give (review_item.id, bits that differ) of the nearest hashes, the nearest first.

        Parameters
        ----------
        hashed
            The perceptual hash, 64 bits, as int64.
        """
        with self._lock:
            if self._build != build:
                self._load(build)
            ids, hashes = self._ids, self._hashes
        bits = np.bitwise_count(hashes ^ np.int64(hashed).astype(np.uint64))
        chosen = np.argpartition(bits, most)[:most] if len(bits) > most else np.arange(len(bits))
        chosen = chosen[np.lexsort((ids[chosen], bits[chosen]))]
        return [(int(ids[at]), int(bits[at])) for at in chosen]

    def _load(self, build: int) -> None:
        query = select(review_item.c.id, review_item.c.phash).where(
            review_item.c.build == build, review_item.c.phash.is_not(None)
        )
        parts = []
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=20_000).execute(query)
            parts = [np.array(part, np.int64) for part in rows.partitions()]
        table = np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)
        self._ids, self._hashes = table[:, 0].copy(), table[:, 1].copy().view(np.uint64)
        self._build = build
