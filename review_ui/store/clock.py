"""Times as the store keeps them: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = 1_000_000


def now() -> int:
    """Give the time."""
    return to_micros(datetime.now(UTC))


def to_micros(when: datetime) -> int:
    """Count the microseconds; a time without a zone is taken for UTC."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """Turn microseconds back into a time."""
    return _EPOCH + timedelta(microseconds=micros)


def to_text(micros: int | None) -> str | None:
    """Write a time as ISO 8601."""
    return None if micros is None else to_datetime(micros).isoformat()
