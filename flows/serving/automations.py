"""What follows from what, by Prefect's automations: made or renewed when the runner starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows import events
from flows.settings import DatasetConfig

_HEARTBEAT: Final = "prefect.flow-run.heartbeat"
_ENDINGS: Final = ("Completed", "Failed", "Cancelled", "Crashed")

_TRAINS: Final = "publication starts training"
_RANKS: Final = "training starts ranking"
_DEAD: Final = "dead runs"


def register(config: DatasetConfig, deployed: Mapping[str, UUID]) -> None:
    """Make the automations of a dataset as the configuration has them; none is there twice.

    Parameters
    ----------
    deployed
        Ids of the deployments by the name of the flow.
    """
    wanted: dict[str, AutomationCore | None] = {
        _TRAINS: _train(config, deployed["train"]) if config.loop.train_on_publish else None,
        _RANKS: _rank(config, deployed["rank"]) if config.loop.rank_on_train else None,
        _DEAD: _dead(config),
    }
    with get_client(sync_client=True) as client:
        for what, automation in wanted.items():
            _put(client, _name(config.dataset.name, what), automation)


def remove(dataset: str) -> None:
    """Delete the automations of a dataset."""
    with get_client(sync_client=True) as client:
        for what in (_TRAINS, _RANKS, _DEAD):
            _put(client, _name(dataset, what), None)


def _name(dataset: str, what: str) -> str:
    return f"nonesuch {dataset}: {what}"


def _put(client: SyncPrefectClient, name: str, automation: AutomationCore | None) -> None:
    """Bring one automation up to date; what a person has switched off stays off."""
    known = client.read_automations_by_name(name)
    for superfluous in known if automation is None else known[1:]:
        client.delete_automation(superfluous.id)
    if automation is None:
        return
    if known:
        update = {"enabled": known[0].enabled}
        client.update_automation(known[0].id, automation.model_copy(update=update))
    else:
        client.create_automation(automation)


def _train(config: DatasetConfig, deployment: UUID) -> AutomationCore:
    payload = "{{ {'version': event.payload.version, 'hash': event.payload.hash} | tojson }}"
    return _follows(
        config,
        _TRAINS,
        events.PUBLISHED,
        RunDeployment(
            source="selected", deployment_id=deployment, parameters={"published": _json(payload)}
        ),
    )


def _rank(config: DatasetConfig, deployment: UUID) -> AutomationCore:
    return _follows(
        config,
        _RANKS,
        events.TRAINED,
        RunDeployment(
            source="selected",
            deployment_id=deployment,
            parameters={"model": "{{ event.payload.model }}"},
        ),
    )


def _follows(config: DatasetConfig, what: str, event: str, action: RunDeployment) -> AutomationCore:
    dataset = config.dataset.name
    return AutomationCore(
        name=_name(dataset, what),
        description=f"{event} of {dataset}; see [loop] of its configuration",
        enabled=True,
        trigger=EventTrigger(
            expect={event},
            match=_resource(events.resource_id(dataset)),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[action],
    )


def _dead(config: DatasetConfig) -> AutomationCore:
    """End runs that were alive and have said nothing since: their process was killed."""
    dataset, seconds = config.dataset.name, config.server.dead_after
    return AutomationCore(
        name=_name(dataset, _DEAD),
        description=f"Runs without a sign of life for {seconds} s have crashed",
        enabled=True,
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{end}" for end in _ENDINGS)},
            match=_resource("prefect.flow-run.*"),
            match_related=ResourceSpecification.model_validate(
                {"prefect.resource.id": f"prefect.tag.{dataset}", "prefect.resource.role": "tag"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"no sign of life for {seconds} s; its process was killed",
            )
        ],
    )


def _resource(name: str) -> ResourceSpecification:
    return ResourceSpecification.model_validate({"prefect.resource.id": name})


def _json(template: str) -> dict[str, Any]:
    """Give a parameter that keeps the types of an event's payload: plain templates make text."""
    return {
        "__prefect_kind": "json",
        "value": {"__prefect_kind": "jinja", "template": template},
    }
