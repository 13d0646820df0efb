"""The deployments of a dataset, in code: what can be started, when it starts by itself, how often.

`python -m flows.serving.runner` registers and serves them; `prefect.yaml` of docs/production.md
deploys the same flows to work pools.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.serving import deployed
from flows.serving.alone import limit_name
from flows.settings import ConfigError, DatasetConfig

TAG: Final = "nonesuch"
FLOWS: Final[dict[str, Flow[Any, Any]]] = {
    "rebuild": deployed.rebuild,
    "publish": deployed.publish,
    "train": deployed.train,
    "rank": deployed.rank,
    "reconcile": deployed.reconcile,
}

# What a second rebuild would do, the one under way does, or the next one. What is published,
# trained or ranked may have to see what has come since: it waits.
_WHERE_ONE_RUNS: Final = {
    "rebuild": ConcurrencyLimitStrategy.CANCEL_NEW,
    "reconcile": ConcurrencyLimitStrategy.CANCEL_NEW,
}


def deployments(config: DatasetConfig, config_file: Path) -> list[RunnerDeployment]:
    """Give the deployments of a dataset: one a flow, named `<flow>/<dataset>`.

    Raises
    ------
    ConfigError
        If Prefect does not understand a schedule.
    """
    return [_deployment(config, config_file, name) for name in FLOWS]


def _deployment(config: DatasetConfig, config_file: Path, name: str) -> RunnerDeployment:
    flow = FLOWS[name]
    strategy = _WHERE_ONE_RUNS.get(name, ConcurrencyLimitStrategy.ENQUEUE)
    return RunnerDeployment.from_flow(
        flow,
        name=config.dataset.name,
        schedules=_schedules(config, name),
        parameters={"config_file": str(config_file.resolve())},
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy),
        tags=[TAG, config.dataset.name],
        description=flow.description,
        version=metadata.version("nonesuch"),
        # Else git is asked five ways for each, about whatever folder this was started in.
        version_type=cast("Any", "prefect:simple"),
        enforce_parameter_schema=True,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _schedules(config: DatasetConfig, name: str) -> list[DeploymentScheduleCreate]:
    """Give the schedule of a flow, or none.

    Without a slug: schedules that have one outlive their being taken out.
    """
    cron = getattr(config.schedules, name, None)
    if cron is None:
        return []
    try:
        schedule = CronSchedule(cron=cron, timezone=config.schedules.time_zone)
    except ValueError as error:
        raise ConfigError(
            f"`schedules.{name}`: Prefect does not understand {cron!r}; write five fields, such as "
            "'0 3 * * *' (daily at three)"
        ) from error
    return [DeploymentScheduleCreate(schedule=schedule, active=True)]


def remove_renamed(config: DatasetConfig, config_file: Path) -> list[str]:
    """Delete what the same configuration had deployed when the dataset had another name.

    Returns
    -------
    list of str
        Names of the deployments.
    """
    mine = str(config_file.resolve())
    gone = []
    with get_client(sync_client=True) as client:
        tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
        for found in client.read_deployments(deployment_filter=tagged):
            if found.parameters.get("config_file") == mine and found.name != config.dataset.name:
                client.delete_deployment(found.id)
                gone.append(found.name)
    return gone


def ensure_limit(config: DatasetConfig) -> None:
    """Make the concurrency limit of a dataset whose root has no locks."""
    if "://" in config.dataset.root:
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name(limit_name(config.dataset.name), 1)
