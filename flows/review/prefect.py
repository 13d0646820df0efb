"""What the review page asks of Prefect's server, by its REST API: Prefect takes seconds to import.

Read of Prefect 3.8: `prefect/server/api/` and `prefect/server/schemas/filters.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx

from flows.server import api_of, authority, page_of
from flows.settings import DatasetConfig
from review_ui.desk import Remembered
from review_ui.loop import KINDS, FlowTold, Kind, ScheduledTold, ServerTold

_PATIENCE: Final = httpx.Timeout(4.0)
# Of who is there, and of what it does: so many seconds.
_DEPLOYED_HOLDS: Final = 15.0
_STATE_HOLDS: Final = 2.0
_UNDER_WAY: Final = ("PENDING", "RUNNING", "CANCELLING", "PAUSED", "SCHEDULED")
_ENDED: Final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_STATES: Final[Mapping[str, Literal["waiting", "running", "done", "failed", "stopped"]]] = {
    "SCHEDULED": "waiting",
    "PENDING": "waiting",
    "PAUSED": "waiting",
    "RUNNING": "running",
    "CANCELLING": "running",
    "COMPLETED": "done",
    "FAILED": "failed",
    "CRASHED": "failed",
    "CANCELLED": "stopped",
}
_PREAMBLE: Final = re.compile(r"^Flow run encountered an exception: (\w+: )?")


class ServerError(Exception):
    """Prefect's server does not do what it is asked; the message says why."""


class ServerAwayError(ServerError):
    """It does not answer, or not now; asked again in a moment, it may."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server does for a dataset."""

    server: ServerTold
    flows: tuple[FlowTold, ...] = ()
    schedules: tuple[ScheduledTold, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a flow run is; `percent` is None where it does not say."""

    flow: FlowTold
    stage: str
    percent: float | None


class PrefectServer:
    """The server of a dataset, where there is one. All may be called in any thread."""

    def __init__(self, config: DatasetConfig) -> None:
        self._config = config
        # A proxy has no business between processes of one network.
        self._client = httpx.Client(timeout=_PATIENCE, trust_env=False)
        self._deployed = Remembered(self._find_deployments, _DEPLOYED_HOLDS)
        self._state = Remembered(self._find_state, _STATE_HOLDS)

    def state(self) -> ServerState | None:
        """Tell what the server does; None where there is none."""
        return self._state.get()

    def starts(self, kind: Kind) -> bool:
        """Tell whether a server is there that can start this flow.

        Raises
        ------
        ServerError
            If there should be one, and it does not answer.
        """
        return api_of(self._config) is not None and kind in self._deployed.get()

    def start(self, kind: Kind, parameters: Mapping[str, Any], key: str) -> FlowTold:
        """Have a flow run; where it runs already, or is about to, that run is given.

        Parameters
        ----------
        key
            Of this wish: sent twice, it starts one run.

        Raises
        ------
        ServerError
            If the server does not do it, or runs it with other parameters already.
        """
        deployment = self._deployed.get()[kind]
        for run in self._runs((deployment,), _UNDER_WAY, {"before_": _now()}):
            flow = self._told(run, kind)
            _check_same(flow, run["parameters"], parameters)
            return flow
        body = {"parameters": dict(parameters), "idempotency_key": key, "tags": ["review-page"]}
        run = self._ask("POST", f"/deployments/{deployment}/create_flow_run", body)
        self._state.forget()
        return self._told(run, kind)

    def progress(self, run: str, kind: Kind) -> Progress:
        """Tell how far a flow run is.

        Raises
        ------
        ServerError
            If the server does not say.
        """
        flow = self._told(self._ask("GET", f"/flow_runs/{run}"), kind)
        if flow.state == "waiting":
            is_polled = self._is_polled(kind)
            stage = "waiting for its turn" if is_polled else "waiting: no runner asks for work"
            return Progress(flow, stage, None)
        if flow.state != "running":
            return Progress(flow, "", None)
        mine = {"flow_run_id": {"any_": [run]}, "type": {"any_": ["progress"]}}
        body = {"artifacts": mine, "sort": "UPDATED_DESC", "limit": 1}
        bars = self._ask("POST", "/artifacts/filter", body)
        percent = bars[0].get("data") if bars else None
        return Progress(
            flow, self._stage(run), percent if isinstance(percent, int | float) else None
        )

    def close(self) -> None:
        """Drop connections."""
        self._client.close()

    # ---- What it asks. ---------------------------------------------------------------------------

    def _find_deployments(self) -> dict[Kind, str]:
        """Give the ids of the deployments of this dataset."""
        found: dict[Kind, str] = {}
        if api_of(self._config) is None:
            return found
        name = quote(self._config.dataset.name, safe="")
        for kind in KINDS:
            deployment = self._ask("GET", f"/deployments/name/{kind}/{name}", missing=None)
            if deployment is not None:
                found[kind] = deployment["id"]
        return found

    def _find_state(self) -> ServerState | None:
        api = api_of(self._config)
        if api is None:
            return None
        url = page_of(api)
        try:
            deployed = self._deployed.get()
            kinds = {identity: kind for kind, identity in deployed.items()}
            now = _now()
            under_way = self._runs(kinds, _UNDER_WAY, {"before_": now}) if kinds else []
            later = self._runs(kinds, ("SCHEDULED",), {"after_": now}) if kinds else []
            ended = self._ended(kinds) if kinds else []
        except ServerError:
            self._deployed.forget()
            return ServerState(ServerTold(url=url, is_up=False, deployed=[]))
        flows = [self._told(run, kinds[run["deployment_id"]]) for run in (*under_way, *ended)]
        schedules: dict[Kind, ScheduledTold] = {}
        for run in later:
            kind = kinds[run["deployment_id"]]
            at = _time(run["expected_start_time"])
            if kind not in schedules and at is not None:
                schedules[kind] = ScheduledTold(kind=kind, at=at)
        server = ServerTold(url=url, is_up=True, deployed=list(deployed))
        return ServerState(server, tuple(flows), tuple(schedules.values()))

    def _runs(
        self, deployments: Iterable[str], states: Sequence[str], expected: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Give flow runs, those first that are to start first."""
        wanted = {
            "deployment_id": {"any_": list(deployments)},
            "state": {"type": {"any_": list(states)}},
            "expected_start_time": dict(expected),
        }
        body = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        found: list[dict[str, Any]] = self._ask("POST", "/flow_runs/filter", body)
        return found

    def _ended(self, deployments: Iterable[str]) -> list[dict[str, Any]]:
        """Give the last flow run that ended, of each deployment that ran lately."""
        wanted = {
            "deployment_id": {"any_": list(deployments)},
            "state": {"type": {"any_": list(_ENDED)}},
        }
        body = {"flow_runs": wanted, "sort": "END_TIME_DESC", "limit": 40}
        last: dict[str, dict[str, Any]] = {}
        for run in self._ask("POST", "/flow_runs/filter", body):
            last.setdefault(run["deployment_id"], run)
        return list(last.values())

    def _stage(self, run: str) -> str:
        """Give what a flow run does now: the name of its last task."""
        body = {
            "flow_runs": {"id": {"any_": [run]}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 1,
        }
        tasks = self._ask("POST", "/task_runs/filter", body)
        if not tasks:
            return "starting"
        # Prefect adds three letters to the name of a task.
        return re.sub(r"-[0-9a-f]{3}$", "", str(tasks[0]["name"])).replace("_", " ")

    def _is_polled(self, kind: Kind) -> bool:
        """Tell whether some runner has asked for work of this kind lately."""
        deployment = self._ask("GET", f"/deployments/{self._deployed.get()[kind]}")
        return bool(deployment.get("status") == "READY")

    def _told(self, run: Mapping[str, Any], kind: Kind) -> FlowTold:
        state = run.get("state") or {}
        api = api_of(self._config)
        return FlowTold(
            id=run["id"],
            kind=kind,
            state=_STATES.get(state.get("type", ""), "waiting"),
            message=_PREAMBLE.sub("", state.get("message") or ""),
            started_at=_time(run.get("start_time")),
            ended_at=_time(run.get("end_time")),
            url="" if api is None else f"{page_of(api)}/runs/flow-run/{run['id']}",
        )

    def _ask(self, method: str, path: str, body: Any = None, **when: Any) -> Any:
        """Send a request; `missing` is given where there is no such thing.

        Raises
        ------
        ServerError
            If the server does not answer, or refuses.
        """
        api = api_of(self._config)
        if api is None:
            raise ServerAwayError("no Prefect server runs for this dataset any more")
        try:
            answer = self._client.request(
                method, f"{api.rstrip('/')}{path}", json=body, headers=authority()
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise ServerAwayError(f"Prefect's server at {api} does not answer: {said}") from error
        if answer.status_code == 404 and "missing" in when:
            return when["missing"]
        if answer.is_server_error:  # 503 where its database is locked by others
            raise ServerAwayError(
                f"Prefect's server at {api} does not answer now ({answer.status_code})"
            )
        if answer.is_error:
            raise ServerError(
                f"Prefect's server at {api} refuses ({answer.status_code}): {_why(answer)}"
            )
        return answer.json()


def _check_same(flow: FlowTold, running: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to take a run for another one that was meant."""
    event = running.get("published")
    if isinstance(event, Mapping):  # then it trains the version of the event
        running = {**running, "version": event.get("version")}
    for name, value in wanted.items():
        if running.get(name) != value:
            raise ServerError(
                f"{flow.kind} runs already, with `{name}` {running.get(name)} and not {value}; "
                f"wait until that has ended: {flow.url}"
            )


def _why(answer: httpx.Response) -> str:
    try:
        detail = answer.json()
    except ValueError:
        return answer.text[:300]
    if isinstance(detail, dict):
        detail = detail.get("detail") or detail.get("exception_detail") or detail
    return str(detail)[:300]


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
