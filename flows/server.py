"""Where the Prefect server of a dataset is, if one runs. Without Prefect."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Final

from data_catalog.locks import LOCK_NAME
from flows.settings import DatasetConfig

FILE: Final = "server.json"
API: Final = "PREFECT_API_URL"
PASSWORD: Final = "PREFECT_API_AUTH_STRING"
"""What is sent to a server, as `name:password`."""
SERVER_PASSWORD: Final = "PREFECT_SERVER_API_AUTH_STRING"
"""What a server asks for."""

_HEARTBEAT: Final = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
_LONGEST_HEARTBEAT: Final = 180  # seconds
_STARTED_BY: Final = 60.0  # seconds; it takes requests before it can answer them
REQUEST_TIMEOUT: Final = "PREFECT_API_REQUEST_TIMEOUT"
REQUEST_SECONDS: Final = "120"
"""Who asks while the server starts, or starts again, waits."""

SETTINGS: Final = {
    # Leases kept in memory are lost with the server, and each run that holds one ends for it.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Runs that wait for their turn ask this often, each time with a row in the database.
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "15",
}
"""What the environment of a server should hold, besides what the user has set."""


def home_of(config: DatasetConfig) -> Path:
    """Give the folder of what `nonesuch up` keeps."""
    home = config.server.home
    assert home is not None, "a configuration that was read has an absolute `server.home`"
    return home


def find_server(config: DatasetConfig) -> str | None:
    """Give the address of the API of the server that `nonesuch up` runs; None where none does."""
    return _announced(home_of(config) / FILE)


def api_of(config: DatasetConfig) -> str | None:
    """Give the address of the API to use: the environment's, else that of `find_server`."""
    return os.environ.get(API) or find_server(config)


def password() -> str:
    """Give `name:password` for a server; empty where the environment has none.

    Prefect's own clients read `PREFECT_API_AUTH_STRING` alone. Where it is not set, it is what a
    server that is started here would ask for.
    """
    return os.environ.get(PASSWORD) or os.environ.get(SERVER_PASSWORD) or ""


def authority() -> dict[str, str]:
    """Give the header for a server with a password; none where there is no password."""
    secret = password()
    if not secret:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


@contextlib.contextmanager
def announced(config: DatasetConfig, api: str) -> Iterator[None]:
    """Let others find the server while the body runs; this process runs it, and holds its home."""
    file = home_of(config) / FILE
    partial = file.with_name(f"{FILE}.{os.getpid()}.part")
    partial.write_text(json.dumps({"api": api, "pid": os.getpid()}), encoding="utf-8")
    partial.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def join(config: DatasetConfig) -> str | None:
    """Have the flows of this process run at the dataset's server, where one answers.

    Call it before Prefect is imported. Where the environment names a server, that one it is;
    where none is known, Prefect takes that of its profile, or starts one for the time of a run.

    Returns
    -------
    str or None
        What to tell people, where there is a server that cannot be used.
    """
    if not os.environ.get(API):
        api = find_server(config)
        if api is None:
            return None
        refused = _refusal(api)
        if refused is not None:
            return f"this run is not shown at {page_of(api)}: {refused}"
        os.environ[API] = api
    if secret := password():
        os.environ[PASSWORD] = secret
    # Signs of life, or it would seem to run for ever once its process is killed.
    os.environ.setdefault(_HEARTBEAT, str(heartbeat_seconds(config)))
    os.environ.setdefault(REQUEST_TIMEOUT, REQUEST_SECONDS)
    return None


def heartbeat_seconds(config: DatasetConfig) -> int:
    """Give the seconds between two signs of life of a run."""
    # Three signs at least before it counts as dead.
    return min(_LONGEST_HEARTBEAT, config.server.dead_after // 4)


def _refusal(api: str) -> str | None:
    """Give why a server does not take what we ask of it; None where it does."""
    try:
        asked = urllib.request.Request(f"{api.rstrip('/')}/admin/version", headers=authority())
        # A proxy has no business between two processes of this machine.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=_STARTED_BY):
            return None
    except urllib.error.HTTPError as error:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"it asks for a password; set {PASSWORD}=name:password"
        return f"it answers with {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return f"it does not answer: {error}"


def page_of(api: str) -> str:
    """Give the address of Prefect's page of an API."""
    return api.rstrip("/").removesuffix("/api")


def _announced(file: Path) -> str | None:
    """Read the address; None where the file is not there, is damaged, or its writer is gone."""
    try:
        api = str(json.loads(file.read_text(encoding="utf-8"))["api"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return api if api and _is_held(file.parent) else None


def _is_held(home: Path) -> bool:
    """Tell whether a `nonesuch up` holds the home.

    The number of its process says nothing: after a crash another program may have it.
    """
    try:
        handle = os.open(home / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go when it is closed
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(handle)
    return False
