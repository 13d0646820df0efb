"""Starts deployments at a Prefect server, and knows what was started already."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.server import page_of, password
from flows.settings import ConfigError

# What the runner says of a run when it stops: that was nobody's wish.
SHUT_DOWN: Final = "Runner is shutting down."
# What the server says of a run that was not begun since another one runs.
_REFUSED: Final = "Deployment concurrency limit reached."
_PAUSE: Final = timedelta(minutes=10)
_LONGEST_PAUSE: Final = timedelta(days=1)
_CRASHES: Final = 4  # in a short while, after which there is a pause
_LATELY: Final = timedelta(hours=1)
_SOON: Final = timedelta(minutes=1)
_LOOKED_AT: Final = 200  # runs of a deployment, the newest


@dataclass(frozen=True, slots=True)
class Order:
    """A run that was started: its id, its name, and the address of its page."""

    id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier run of the same piece of work."""

    id: str
    state: str  # the type, e.g. COMPLETED
    message: str
    ended: datetime

    @property
    def was_shut_down(self) -> bool:
        """Whether it ended because its runner did."""
        return self.state == "CANCELLED" and self.message == SHUT_DOWN

    def age(self, now: datetime) -> timedelta:
        """Give how long ago it ended."""
        return now - self.ended


class Starter:
    """Starts the deployments of one dataset.

    Parameters
    ----------
    api
        Address of the server's API.
    """

    def __init__(self, api: str, dataset: str) -> None:
        self._api, self._dataset = api, dataset
        self._client = SyncPrefectClient(api, auth_string=password() or None)

    def __enter__(self) -> Starter:
        self._client.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._client.__exit__(*error)

    def start(self, flow: str, parameters: Mapping[str, Any], key: str | None = None) -> Order:
        """Start a run now.

        Parameters
        ----------
        key
            Asked for twice with the same key, it is one run.

        Raises
        ------
        ConfigError
            If the server does not know the dataset, or refuses the parameters.
        """
        try:
            deployment = self._deployment(flow)
            run = self._client.create_flow_run_from_deployment(
                deployment.id,
                name=f"{flow} {self._dataset}",
                parameters=dict(parameters),
                idempotency_key=key,
            )
        except PrefectHTTPStatusError as error:
            raise ConfigError(f"{flow}/{self._dataset} is refused: {_detail(error)}") from error
        except httpx.TransportError as error:
            raise ConfigError(
                f"the Prefect server at {page_of(self._api)} does not answer: "
                f"{error or type(error).__name__}; is `nonesuch up` running?"
            ) from error
        return Order(str(run.id), run.name, f"{page_of(self._api)}/runs/flow-run/{run.id}")

    def runs_like(self, flow: str, part: Mapping[str, Any]) -> list[FlowRun]:
        """Give the latest runs of a deployment whose parameters hold `part`, the newest first.

        Raises
        ------
        ConfigError
            If the server does not know the deployment.
        """
        deployment = self._deployment(flow)
        wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
        runs = self._client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_LOOKED_AT
        )
        return [run for run in runs if _holds(run.parameters, part)]

    def _deployment(self, flow: str) -> DeploymentResponse:
        try:
            return self._client.read_deployment_by_name(f"{flow}/{self._dataset}")
        except ObjectNotFound:
            raise ConfigError(
                f"the Prefect server at {page_of(self._api)} has no deployment "
                f"{flow}/{self._dataset}; start it with `nonesuch up` of this configuration"
            ) from None

    def find(self, flow_run: str | None) -> list[FlowRun]:
        """Give a run by its id; none where there is no such run."""
        if flow_run is None:
            return []
        with contextlib.suppress(ObjectNotFound):
            return [self._client.read_flow_run(UUID(flow_run))]
        return []


def is_under_way(runs: Iterable[FlowRun], now: datetime) -> bool:
    """Tell whether one of them runs, or is about to; what the clock starts later is not."""
    return any(_is_active(run, now) for run in runs)


def past(runs: Iterable[FlowRun]) -> list[Past]:
    """Give those that have ended, in the same order; not those that were refused a place."""
    return [
        Past(
            str(run.id),
            run.state.type.value,
            run.state.message or "",
            (run.end_time or run.state.timestamp).astimezone(UTC),
        )
        for run in runs
        if run.state is not None and run.state.is_final() and not _was_refused(run)
    ]


def _was_refused(run: FlowRun) -> bool:
    """Tell whether a run was never begun, since another one of its deployment was at work."""
    return run.state is not None and run.state.message == _REFUSED


def _is_active(run: FlowRun, now: datetime) -> bool:
    if run.state is not None and run.state.is_final():
        return False
    due = run.expected_start_time
    later = due is not None and due.astimezone(UTC) > now + _SOON
    return not (run.auto_scheduled and later)


def may_start(before: Sequence[Past], now: datetime) -> bool:
    """Say whether a piece of work that is due still may be started again.

    What was shut down is started at once, and so is what crashed, but not all the time. What ended
    otherwise and is due all the same did not help: there are longer and longer pauses. What a
    person has cancelled is left to people.

    Parameters
    ----------
    before
        Earlier runs of it, the newest first.
    """
    if not before or before[0].was_shut_down:
        return True
    last = before[0]
    if last.state == "CANCELLED":
        return False
    if last.state == "CRASHED":
        lately = [run for run in before if run.state == "CRASHED" and run.age(now) < _LATELY]
        return len(lately) < _CRASHES or last.age(now) >= _PAUSE
    in_vain = list(itertools.takewhile(lambda run: run.state in ("FAILED", "COMPLETED"), before))
    doubled: int = 2 ** min(len(in_vain) - 1, 20)
    return last.age(now) >= min(_PAUSE * doubled, _LONGEST_PAUSE)


def _holds(parameters: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    return all(parameters.get(key) == value for key, value in part.items())


def _detail(error: PrefectHTTPStatusError) -> str:
    try:
        found = error.response.json()
    except ValueError:
        return str(error)
    return str(found.get("detail", found)) if isinstance(found, dict) else str(found)
