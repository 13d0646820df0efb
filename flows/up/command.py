"""What `nonesuch up` does: Prefect's server, the runner and the review page, kept alive together.

Each is a process of its own. The server's socket belongs to this process, so that requests wait
while the server starts again, and runs live through it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from data_catalog.errors import ConflictError
from data_catalog.locks import lock
from data_catalog.storage import Root
from flows.server import (
    PASSWORD,
    REQUEST_SECONDS,
    REQUEST_TIMEOUT,
    SERVER_PASSWORD,
    SETTINGS,
    announced,
    find_server,
    home_of,
    page_of,
    password,
)
from flows.settings import ConfigError, DatasetConfig
from flows.up import parts
from flows.up.parts import IsReady, Part
from flows.up.ports import UpError, address_of, free_port, listen
from flows.up.prefect_api import PrefectApi
from flows.up.supervisor import Supervisor, Tell
from review_ui.settings import is_of_this_machine

_LEFT_GRACE: Final = 30.0  # seconds, for what an earlier one has left
_TRIES: Final = 3  # to hold the home
_PAUSE: Final = 0.1  # seconds between them

# For all parts, unless the user says otherwise.
DEFAULTS: Final = {
    **SETTINGS,
    # Old runs go after 90 days, as events do.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    # The newer page asks a service elsewhere whether to record what people do, come what may.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # Who asks while the server starts waits.
    REQUEST_TIMEOUT: REQUEST_SECONDS,
}
# They name a profile of the user's, which this home does not have.
_NOT_PASSED_ON: Final = ("PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


async def keep_up(config: DatasetConfig, file: Path, tell: Tell, *, in_private: bool) -> None:
    """Start all parts, keep them alive, and end them in good order when told to stop.

    Parameters
    ----------
    file
        That the configuration comes from.
    tell
        Told what goes on.
    in_private
        Whether what is said is seen by who started it and by nobody else: then the link logs in.

    Raises
    ------
    UpError
        If another one serves this home, or a port is taken. Nothing was started.
    ConfigError, AccessError
        If a page could be reached by others without a password.
    """
    began = time.monotonic()
    home = home_of(config)
    _check_access(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(config))
        left = parts.left_behind(home)
        if left:
            tell(f"ending what an earlier one left: {parts.told(left)}", {"left": len(left)})
            parts.end(left, _LEFT_GRACE)
        server, review = config.server, config.review
        listening = stack.enter_context(listen(server.host, server.port, "server.port"))
        page = None
        if server.review:
            page = address_of(review.host, free_port(review.host, review.port, "review.port"))
        api = f"{address_of(server.host, listening.getsockname()[1])}/api"
        stack.enter_context(announced(config, api))
        tell(f"starting {config.dataset.name}; logs in {_logs(config)}", {"starting": api})
        async with PrefectApi(api) as prefect:
            made = _Making(config, file.resolve(), api, prefect)
            others = [] if page is None else [made.review(page)]
            supervisor = Supervisor(
                home, made.server(listening), made.runner(), others, prefect, tell
            )
            await supervisor.run(
                lambda: tell(*_ready(config, api, page, time.monotonic() - began, in_private))
            )


class _Making:
    """Makes the parts of a dataset."""

    def __init__(self, config: DatasetConfig, file: Path, api: str, prefect: PrefectApi) -> None:
        self._config, self._file, self._api, self._prefect = config, file, api, prefect
        self._logs = _logs(config)
        self._logs.mkdir(parents=True, exist_ok=True)

    def server(self, listening: socket.socket) -> Part:
        """Make Prefect's server, on an open socket."""
        host, port = listening.getsockname()[:2]
        environment = {
            "PREFECT_SERVER_API_HOST": str(host),
            "PREFECT_SERVER_API_PORT": str(port),
            # It copies its page there; by default beside its code, where it may not write.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home_of(self._config) / "ui"),
            # Its page asks where it came from, under whatever name, and no other page may ask.
            "PREFECT_SERVER_UI_API_URL": "/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page_of(self._api),
        }

        async def is_ready(_since: datetime) -> bool:
            return await self._prefect.is_healthy()

        number = listening.fileno()
        command = ["flows.up.prefect_server", str(number)]
        return self._part("server", command, environment, is_ready, [number])

    def runner(self) -> Part:
        """Make what starts flows."""
        command = ["flows.serving.runner", str(self._file)]
        return self._part("runner", command, {}, self._prefect.is_polled)

    def review(self, page: str) -> Part:
        """Make the review page."""
        port = str(httpx.URL(page).port)
        command = ["flows.cli", "review", "--host", self._config.review.host, "--port", port]

        async def is_ready(_since: datetime) -> bool:
            return await self._prefect.answers(f"{page}/api/health")

        return self._part(
            "review",
            [*command, "--json", "-c", str(self._file)],
            {"PREFECT_LOGGING_LEVEL": "CRITICAL"},
            is_ready,
        )

    def _part(
        self,
        name: str,
        module: Sequence[str],
        environment: Mapping[str, str],
        is_ready: IsReady,
        descriptors: Sequence[int] = (),
    ) -> Part:
        return Part(
            name,
            [sys.executable, "-m", *module],
            {**_environment(home_of(self._config), self._api), **environment},
            self._logs / f"{name}.log",
            is_ready,
            descriptors,
        )


def _environment(home: Path, api: str) -> dict[str, str]:
    """Give the environment of every part."""
    mine = {name: text for name, text in os.environ.items() if name not in _NOT_PASSED_ON}
    if mine.get("PREFECT_LOGGING_LEVEL") == "CRITICAL":  # what our command line sets for itself
        mine["PREFECT_LOGGING_LEVEL"] = "INFO"
    secret = password()
    return {
        **DEFAULTS,
        **mine,
        **({PASSWORD: secret} if secret else {}),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api,
        "PYTHONUNBUFFERED": "1",
        # A file beside the configuration is not taken for a module of the same name.
        "PYTHONSAFEPATH": "1",
        parts.HOME: str(home),
    }


def _logs(config: DatasetConfig) -> Path:
    return home_of(config) / "logs"


def _check_access(config: DatasetConfig) -> None:
    """Refuse to open pages to others without a password."""
    if not is_of_this_machine(config.server.host) and not os.environ.get(SERVER_PASSWORD):
        raise ConfigError(
            f"`server.host` {config.server.host} can be reached from other machines, whose users "
            f"could start and stop flows: set {SERVER_PASSWORD}=name:password in the environment, "
            "or listen at 127.0.0.1 behind a proxy that asks who it is"
        )
    if config.server.review and not config.review.is_local:
        from review_ui.serve import check_access

        check_access(config.review)


@contextlib.contextmanager
def _only_one(config: DatasetConfig) -> Iterator[None]:
    """Hold the home, which has one database and one server."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_held(Root(home_of(config))))
        except ConflictError as error:
            api = find_server(config)
            where = f", Prefect's page at {page_of(api)}" if api else ""
            holder = str(error).partition("; ")[0]
            raise UpError(
                f"`nonesuch up` runs already{where}: {holder}; stop that one first (Ctrl-C), or "
                "set `server.home` to another folder"
            ) from error
        yield


@contextlib.contextmanager
def _held(home: Root) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(_TRIES)):
            try:
                stack.enter_context(lock(home, "nonesuch up"))
                break
            except ConflictError:
                # Who looks whether it is held holds it for a moment.
                if not tries_left:
                    raise
                time.sleep(_PAUSE)
        yield


def _ready(
    config: DatasetConfig, api: str, page: str | None, seconds: float, in_private: bool
) -> tuple[str, dict[str, Any]]:
    """Say where everything is."""
    facts = {
        "ready": True,
        "prefect": page_of(api),
        "review": page and f"{page}/",
        "root": config.dataset.root,
        "logs": str(_logs(config)),
        "seconds": round(seconds, 1),
    }
    lines = [f"{config.dataset.name} is up after {seconds:.0f} s", f"  Prefect  {page_of(api)}"]
    if page is not None:
        lines.append(f"  review   {_link(config, page, in_private)}")
    lines += [
        f"  data     {config.dataset.root}",
        f"  logs     {_logs(config)}",
        "Ctrl-C stops it",
    ]
    return "\n".join(lines), facts


def _link(config: DatasetConfig, page: str, in_private: bool) -> str:
    """Give the address of the review page, with what logs in where nobody else reads it."""
    token = config.review.admin_token
    if token is None:
        return f"{page}/"
    if in_private:
        return f"{page}/login#token={token.get_secret_value()}"
    return f"{page}/ (log in with `review.admin_token` of the configuration)"
