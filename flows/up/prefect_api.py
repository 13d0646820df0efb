"""The few requests to a Prefect server that `nonesuch up` makes. Without Prefect itself.

Its import takes seconds, which the start would wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import httpx

from flows.server import authority

ALIVE: Final = ("PENDING", "RUNNING", "CANCELLING")
WAITING: Final = ("SCHEDULED",)
ENDED: Final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

_PAGE: Final = 200
_HEALTH_SECONDS: Final = 3.0
_TRIES: Final = 5
_PAUSE: Final = 1.0  # seconds
_SECONDS: Final = 60.0  # requests wait for a server that starts again


@dataclass(frozen=True)
class Deployment:
    """What a runner serves."""

    id: str
    name: str
    limit: str | None  # id of its concurrency limit
    slots: int  # taken of it
    polled_at: datetime | None
    is_served: bool  # by a runner here; others are worked on by workers, wherever these are


@dataclass(frozen=True)
class Run:
    """A flow run, as the server knows it."""

    id: str
    flow: str
    deployment: str | None
    state: str  # type of the state
    called: str  # name of the state
    message: str
    since: datetime  # when it came into this state
    due: datetime | None  # by its schedule, however often it was put off since
    is_scheduled: bool  # by a schedule, not by hand or by an event
    seconds: float  # that it ran


class PrefectApi:
    """A Prefect server, asked by HTTP.

    Parameters
    ----------
    url
        Of its API: ends in `/api`.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=_SECONDS,
            headers=authority(),
            trust_env=False,  # a proxy has no business between two processes of this machine
            verify=False,  # no TLS either, and loading certificates takes a while
        )
        self._flows: dict[str, str] = {}

    async def __aenter__(self) -> PrefectApi:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def is_healthy(self) -> bool:
        """Whether it answers."""
        return await self.answers("/health")

    async def answers(self, url: str) -> bool:
        """Whether there is something at a URL: relative to the API, or of another server."""
        try:
            answer = await self._client.get(url, timeout=_HEALTH_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.is_success

    async def is_polled(self, since: datetime) -> bool:
        """Whether a runner has asked for work since a time."""
        try:
            found = await self.deployments()
        except httpx.HTTPError:
            return False
        return any(one.polled_at is not None and one.polled_at > since for one in found)

    async def deployments(self) -> list[Deployment]:
        """Give all deployments."""
        return [_deployment(raw) for raw in await self._pages("/deployments/filter", {})]

    async def runs(self, states: Sequence[str]) -> list[Run]:
        """Give all runs in states of these types, ordered by the time that they are due."""
        chosen = {
            "flow_runs": {"state": {"type": {"any_": list(states)}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [await self._run(raw) for raw in await self._pages("/flow_runs/filter", chosen)]

    async def due_runs(self, before: datetime) -> list[Run]:
        """Give runs that should have begun before a time and still wait."""
        chosen = {
            "flow_runs": {
                "state": {"type": {"any_": list(WAITING)}},
                "expected_start_time": {"before_": before.isoformat()},
            },
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [await self._run(raw) for raw in await self._pages("/flow_runs/filter", chosen)]

    async def ended_runs(self, after: datetime) -> list[Run]:
        """Give the runs that have ended since a time, the first one first."""
        chosen = {
            "flow_runs": {
                "state": {"type": {"any_": list(ENDED)}},
                "end_time": {"after_": after.isoformat()},
            },
            "sort": "END_TIME_DESC",
        }
        found = await self._pages("/flow_runs/filter", chosen)
        return [await self._run(raw) for raw in reversed(found)]

    async def set_state(self, run: str, state: str, name: str, message: str) -> None:
        """Put a run into a state, whatever it is in; slots that it holds come free."""
        body = {"state": {"type": state, "name": name, "message": message}, "force": True}
        await self._post(f"/flow_runs/{run}/set_state", body)

    async def set_slots(self, limit: str, slots: int) -> None:
        """Say how many slots of a concurrency limit are taken."""
        await self._ask("PATCH", f"/v2/concurrency_limits/{limit}", {"active_slots": slots})

    async def _pages(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await self._post(path, {**body, "limit": _PAGE, "offset": len(found)})
            found += page
            if len(page) < _PAGE:
                return found

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask, and ask again where the database is busy or the server has just died."""
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = await self._client.request(method, path, json=body)
                if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not tries_left:
                    answer.raise_for_status()
                    return answer.json() if answer.content else None
            except httpx.TransportError:
                if not tries_left:
                    raise
            await asyncio.sleep(_PAUSE)
        raise AssertionError("the last try gives or raises")

    async def _run(self, raw: Mapping[str, Any]) -> Run:
        state = raw["state"] or {}
        return Run(
            id=raw["id"],
            flow=await self._flow(raw["flow_id"]),
            deployment=raw["deployment_id"],
            state=state.get("type", ""),
            called=state.get("name", ""),
            message=state.get("message") or "",
            since=datetime.fromisoformat(state.get("timestamp") or raw["created"]),
            due=_time(raw["expected_start_time"]),
            is_scheduled=bool(raw["auto_scheduled"]),
            seconds=float(raw["total_run_time"] or 0.0),
        )

    async def _flow(self, flow: str) -> str:
        if flow not in self._flows:
            self._flows[flow] = str((await self._ask("GET", f"/flows/{flow}"))["name"])
        return self._flows[flow]


def _deployment(raw: Mapping[str, Any]) -> Deployment:
    limit = raw["global_concurrency_limit"] or {}
    return Deployment(
        id=raw["id"],
        name=raw["name"],
        limit=limit.get("id"),
        slots=int(limit.get("active_slots") or 0),
        polled_at=_time(raw["last_polled"]),
        is_served=raw["work_pool_name"] is None,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
