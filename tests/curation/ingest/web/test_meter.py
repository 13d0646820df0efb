"""Totals are exact; hosts are counted apart only so far."""

from __future__ import annotations

from curation.ingest.web.meter import Meter
from data_catalog.schema import Reason


def test_totals_and_hosts() -> None:
    meter = Meter()
    meter.page("a", 10)
    meter.image("a", 5)
    meter.image("b", 7)
    meter.error("b", Reason.NOT_FOUND)
    meter.error("b", Reason.NOT_FOUND)
    traffic = meter.traffic()
    assert (traffic.pages, traffic.images, traffic.bytes) == (1, 2, 22)
    assert traffic.errors == {"not_found": 2}
    # The busiest first.
    assert list(traffic.hosts) == ["b", "a"]
    assert (traffic.hosts["a"].pages, traffic.hosts["a"].images) == (1, 1)
    assert traffic.hosts["b"].errors == {"not_found": 2}


def test_a_million_hosts_are_not_told_apart() -> None:
    meter = Meter()
    for number in range(20_000):
        meter.image(f"host-{number}", 1)
    traffic = meter.traffic()
    assert traffic.images == 20_000
    assert len(traffic.hosts) <= 50
    assert traffic.hosts["(others)"].images == 10_000
