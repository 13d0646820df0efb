"""Prefect and decisions on PostgreSQL, which restarts: `nonesuch up` goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.flows.up.upping import Up, start_up
from tests.flows.world import World, fill
from tests.review_ui import postgres

pytestmark = pytest.mark.xdist_group("up")

DOWN: float = 6.0  # seconds: what waits for a restart waits longer than for a broken connection


@pytest.fixture
def switched() -> Iterator[tuple[str, postgres.Switch]]:
    """A PostgreSQL with what Prefect needs of it; skips where it lacks that."""
    try:
        with postgres.switched() as (url, switch):
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                known = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"
                has_all = connection.execute(text(known)).scalar_one()
                for name in ("prefect", "review"):
                    connection.execute(text(f"CREATE DATABASE {name}"))
            engine.dispose()
            if not has_all:
                pytest.skip(
                    "Prefect needs the extension pg_trgm, which this PostgreSQL lacks: set "
                    "NONESUCH_POSTGRES to the programs of the system's (Debian's postgresql)"
                )
            yield url, switch
    except postgres.PostgresMissingError as missing:
        if os.environ.get("NONESUCH_REQUIRE_ALL"):
            raise
        pytest.skip(str(missing))


@pytest.fixture
def up(
    tmp_path: Path, switched: tuple[str, postgres.Switch], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Up]:
    folder = make_url(switched[0]).query["host"]
    monkeypatch.setenv(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
        f"postgresql+asyncpg://postgres@/prefect?host={folder}",
    )
    world = World(tmp_path)
    fill(world.images, range(4))
    review = f"postgresql+psycopg://postgres@/review?host={folder}"
    world.raw |= {"server": {"port": 0}, "review": {"port": 0, "database": review}}
    world.raw |= {"schedules": {"rebuild": "7 3 * * *"}}
    world.write_config()
    up = start_up(world)
    try:
        up.wait_for(lambda: up.ready)
        yield up
    finally:
        up.clear_away()


def test_postgresql_restarts_under_both(up: Up, switched: tuple[str, postgres.Switch]) -> None:
    _, switch = switched
    with up.world.catalog.lock("a test"):
        running = up.start_run("rebuild")
        up.wait_for_state(running, "Running")
        switch("stop")
        up.sleep(DOWN)
        switch("start")
        assert up.state(running) == "Running"
    up.wait_for_state(running, "Completed")
    decided = up.decide("rejected")
    switch("stop")
    switch("start")
    assert up.decisions() == {decided: "rejected"}
    up.wait_for_state(up.start_run("rebuild"), "Completed")
    assert not (up.home / "prefect.db").exists()
    up.wait_for(lambda: [one for one in up.runs() if one["state_name"] == "Scheduled"])
    assert up.stop().code == 0
