"""A crawl in lines for people."""

from __future__ import annotations

import pytest

from curation.ingest.offers import Traffic
from flows import traffic


def test_lines_name_totals_errors_and_the_busiest_hosts() -> None:
    hosts = {f"host-{n}": Traffic(1, n, 1000, {"not_found": n}) for n in range(8)}
    lines = traffic.lines(
        Traffic(8, 28, 8_000_000, {"tls_failure": 1, "not_found": 27}, hosts), 1e6
    )
    assert lines[0] == "8 pages, 28 pictures, 8.0 MB, 1.0 MB/s; not_found 27, tls_failure 1"
    assert lines[1] == "host-0: 1 pages, 0 pictures, 1 kB"
    assert lines[2] == "host-1: 1 pages, 1 pictures, 1 kB, 1 errors"
    assert lines[-1] == "and 3 more hosts"
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2_500_000, "2.5 MB"), (3e15, "3000.0 TB")],
)
def test_sizes_have_units(count: float, text: str) -> None:
    assert traffic.size(count) == text


def test_speed_is_that_of_the_last_moments() -> None:
    speed = traffic.Speed(over=0.0)
    assert speed.of(0) == 0
    assert speed.of(10_000) > 0
    assert speed.of(10_000) == 0
