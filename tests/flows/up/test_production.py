"""The files of docs/production do what they say: they are parsed, and deployed to a real server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from flows.server import SETTINGS
from flows.settings import DatasetConfig, parse
from flows.up.command import DEFAULTS
from tests.flows.world import REPOSITORY, World, fill

pytestmark = pytest.mark.xdist_group("prefect")

FILES = REPOSITORY / "docs" / "production"
PAGE = (REPOSITORY / "docs" / "production.md").read_text(encoding="utf-8")
FLOWS = ("rebuild", "publish", "train", "rank", "reconcile")
BIN = Path(sys.executable).parent


def text_of(name: str, *, commented: bool) -> str:
    """Give a file; with what is to be put into it for PostgreSQL, where that is asked for."""
    text = (FILES / name).read_text(encoding="utf-8")
    return re.sub(r"^#(?=\w+ ?=)", "", text, flags=re.M) if commented else text


def environment_of(name: str, *, commented: bool = False) -> dict[str, str]:
    lines = text_of(name, commented=commented).splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_file_is_shown() -> None:
    files = {path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file()}
    shown = set(re.findall(r"\]\(production/([^)]+)\)", PAGE)) | set(
        re.findall(r"docs/production/(\S+\.\w+)", PAGE)
    )
    assert files == shown - {""}


# ---- Settings. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["server.env", "client.env", "up.env"])
def test_every_setting_is_one_of_prefects(name: str) -> None:
    import prefect.settings

    for key in environment_of(name).keys() - {"DO_NOT_TRACK"}:
        assert hasattr(prefect.settings, key), key


def test_the_server_keeps_what_up_keeps() -> None:
    mine = environment_of("server.env")
    for key, value in {**SETTINGS, **DEFAULTS}.items():
        if key.startswith("PREFECT_SERVER_"):
            assert mine[key] == value


def test_the_addresses_of_databases_are_understood() -> None:
    for name in ("server.env", "up.env"):
        found = environment_of(name, commented=True)
        url = make_url(found["PREFECT_SERVER_DATABASE_CONNECTION_URL"])
        assert url.get_dialect().driver == "asyncpg"
        assert url.get_dialect().import_dbapi()
    url = make_url(_production_config(commented=True)["review"]["database"])
    assert url.get_dialect().driver == "psycopg"


def _production_config(*, commented: bool = False) -> dict[str, Any]:
    return tomllib.loads(text_of("nonesuch.toml", commented=commented))


@pytest.mark.parametrize("commented", [False, True])
def test_the_configuration_is_valid(tmp_path: Path, commented: bool) -> None:
    raw = {**World(tmp_path).raw, "dataset": {"name": "shoes", "root": "catalog"}}
    raw |= _production_config(commented=commented)
    config = parse(raw, name="nonesuch.toml", folder=tmp_path)
    assert isinstance(config, DatasetConfig)
    assert config.server.home == Path("/var/lib/nonesuch/prefect")
    assert config.review.behind_proxy


def test_every_entry_point_is_a_flow() -> None:
    from prefect.flows import Flow, load_flow_from_entrypoint

    told = yaml.safe_load((FILES / "prefect.yaml").read_text(encoding="utf-8"))
    points = [one["entrypoint"] for one in told["deployments"]]
    assert [point.rpartition(".")[2] for point in points] == list(FLOWS)
    for point in points:
        found = load_flow_from_entrypoint(point)
        assert isinstance(found, Flow)
        assert found.name == point.rpartition(".")[2]


# ---- systemd and containers. ---------------------------------------------------------------------


def units() -> list[Path]:
    return sorted((FILES / "systemd").iterdir())


def commands(text: str) -> list[list[str]]:
    """Give the commands of a unit."""
    return [line.split() for line in re.findall(r"^ExecStart=(.+)$", text, re.M)]


@pytest.mark.parametrize("unit", units(), ids=lambda path: path.name)
def test_units_are_understood_by_systemd(tmp_path: Path, unit: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze")
    for path in units():  # a timer wants its service
        text = path.read_text(encoding="utf-8").replace("/opt/nonesuch/bin", str(BIN))
        text = re.sub(r"^User=.*\n", "", text.replace("/usr/bin/pg_dump", "/bin/true"), flags=re.M)
        (tmp_path / path.name.replace("@", "@cpu")).write_text(text)
    name = unit.name.replace("@", "@cpu")
    done = subprocess.run(
        [verify, "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        timeout=60,
    )
    told = [line for line in done.stderr.splitlines() if name in line]
    assert (done.returncode, told) == (0, [])
    wanted = "[Install]" in unit.read_text(encoding="utf-8")
    assert wanted or unit.with_suffix(".timer").exists()


def test_services_run_programs_that_are_there_with_options_that_they_have() -> None:
    found = [command for unit in units() for command in commands(unit.read_text("utf-8"))]
    compose = yaml.safe_load((FILES / "compose.yaml").read_text(encoding="utf-8"))
    found += [one["command"] for one in compose["services"].values() if "command" in one]
    wanted: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for program, *arguments in found:
        name = Path(program).name
        if name in ("prefect", "nonesuch"):
            depth = 1 if name == "nonesuch" else 2
            wanted[(name, *arguments[:depth])] |= {one for one in arguments if one[:2] == "--"}
    for (name, *command), options in wanted.items():
        helped = subprocess.run(
            [str(BIN / name), *command, "--help"],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            timeout=120,
        )
        assert helped.returncode == 0, helped.stderr
        assert all(option in helped.stdout for option in options), (options, helped.stdout)
    assert {command[1] for command in wanted} == {"up", "review", "server", "worker"}


def test_containers_name_files_and_volumes_that_are_there() -> None:
    compose = yaml.safe_load((FILES / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    for name, service in services.items():
        assert "image" in service, name
        assert set(service.get("depends_on", {})) <= set(services)
        if "env_file" in service and service["env_file"] != "postgres.env":
            assert (FILES / service["env_file"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source == "." or source in compose["volumes"] or (FILES / source).exists()
    assert {"server", "worker-cpu", "worker-gpu", "review", "postgres"} <= set(services)


# ---- Work pools, on a real server. ---------------------------------------------------------------


@pytest.fixture
def deployed(tmp_path: Path, prefect_server: str) -> Iterator[World]:
    """A dataset whose flows are deployed to the work pools, as the page says."""
    world = World(tmp_path, prefect_server)
    fill(world.images, range(3))
    file = world.write_config()
    text = (FILES / "prefect.yaml").read_text(encoding="utf-8").replace("/srv/shoes", str(tmp_path))
    (tmp_path / "prefect.yaml").write_text(text)
    (script,) = re.findall(r"```sh\n(prefect work-pool create cpu.*?)```", PAGE, re.S)
    for line in script.strip().splitlines():
        program, *arguments = line.split()
        if arguments[0] == "automations.py":
            arguments = [str(FILES / "automations.py"), str(file)]
        _run(world, program, *arguments)
    yield world
    asyncio.run(_remove_deployments(world))


async def _remove_deployments(world: World) -> None:
    """Leave none on the server that all tests share: the review page would start theirs there."""
    from prefect.client.orchestration import PrefectClient

    async with PrefectClient(world.server) as client:
        for deployment in await client.read_deployments():
            await client.delete_deployment(deployment.id)


def _run(world: World, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=world.folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PREFECT_API_URL": world.server,
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "200",
        },
        stdin=subprocess.DEVNULL,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def _look(world: World) -> tuple[dict[str, Any], list[str], str]:
    from prefect.client.orchestration import PrefectClient

    async with PrefectClient(world.server) as client:
        found = {flow: await client.read_deployment_by_name(f"{flow}/shoes") for flow in FLOWS}
        automations = [one.name for one in await client.read_automations()]
        run = await client.create_flow_run_from_deployment(found["rebuild"].id)
    return found, automations, str(run.id)


async def _state(world: World, run: str) -> str:
    from prefect.client.orchestration import PrefectClient

    async with PrefectClient(world.server) as client:
        state = (await client.read_flow_run(run)).state
    assert state is not None
    return f"{state.name}: {state.message or ''}"


@pytest.mark.timeout(600)
def test_prefect_yaml_is_deployed_and_a_worker_runs_it(deployed: World) -> None:
    found, automations, run = asyncio.run(_look(deployed))
    pools = {flow: one.work_pool_name for flow, one in found.items()}
    assert pools == {
        "rebuild": "cpu",
        "publish": "cpu",
        "train": "gpu",
        "rank": "gpu",
        "reconcile": "cpu",
    }
    for one in found.values():
        assert one.parameters == {"config_file": str(deployed.folder / "nonesuch.toml")}
        assert one.enforce_parameter_schema
        assert one.global_concurrency_limit.limit == 1
    assert found["rebuild"].schedules[0].schedule.timezone == "Europe/Vienna"
    assert "nonesuch shoes: dead runs" in automations
    worker = ("worker", "start", "--pool", "cpu", "--type", "process", "--run-once")
    _run(deployed, "prefect", *worker)
    assert asyncio.run(_state(deployed, run)).startswith("Completed"), asyncio.run(
        _state(deployed, run)
    )
    assert deployed.table("images").num_rows == 3
