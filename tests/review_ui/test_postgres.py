"""That the tests' PostgreSQL is one, and goes when they go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.review_ui import postgres

# Stands for a run of tests that is killed: it has a server, says where, and waits.
_HOLDER = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("postgres", sys.argv[1])
postgres = importlib.util.module_from_spec(spec)
spec.loader.exec_module(postgres)
with postgres.running() as url:
    print(url, flush=True)
    time.sleep(200)
"""


def ask(url: str, question: str) -> str:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(question)).scalar())
    finally:
        engine.dispose()


def test_it_is_postgresql_and_the_database_is_empty(postgres_url: str) -> None:
    assert ask(postgres_url, "SELECT version()").startswith("PostgreSQL ")
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert ask(postgres_url, tables) == "0"
    # It orders text as SQLite does, and nobody else can reach it.
    assert ask(postgres_url, "SELECT 'a' > 'B'") == "True"
    assert ask(postgres_url, "SHOW listen_addresses") == ""


def test_both_databases_answer(database_url: str) -> None:
    assert ask(database_url, "SELECT 1") == "1"


def test_a_database_goes_though_somebody_is_connected(
    postgres_url: str, request: pytest.FixtureRequest
) -> None:
    engine = create_engine(postgres_url)
    request.addfinalizer(engine.dispose)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def test_the_server_ends_with_whoever_is_killed(postgres_server: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, postgres.__file__], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        folder = Path(str(make_url(holder.stdout.readline().strip()).query["host"]))
        server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(server, 0)
        holder.send_signal(signal.SIGKILL)
    ends = time.monotonic() + 30
    while folder.exists():
        assert time.monotonic() < ends, f"{folder} is still there"
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_what_is_missing_is_said_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NONESUCH_POSTGRES", str(tmp_path))
    with pytest.raises(postgres.PostgresMissingError, match=r"no PostgreSQL in .*pip install"):
        postgres.find_programs()
