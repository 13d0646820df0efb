from __future__ import annotations

import http.client
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

# A picture of each kind of trouble that the shop has to take as it comes.
NAMES = (
    *[f"{noun}-{i:02d}.jpg" for noun in ("mug", "shirt", "sneaker", "lamp") for i in range(6)],
    *[f"blurred-{i:02d}.jpg" for i in range(8)],
    "vase-00.png",
    "hat-00.webp",
    "bag-00.gif",
    "grüne Tasse #1 100%.jpg",
)


@dataclass(frozen=True)
class Got:
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


Get = Callable[..., Got]


def ask(url: str, *, method: str = "GET", **headers: str) -> Got:
    """Make one request on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Got(response.status, fields, response.read())
    finally:
        connection.close()


@pytest.fixture
def get() -> Get:
    return ask


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 400×500 px, no two the same, and what is no picture."""
    folder = tmp_path_factory.mktemp("shop") / "images"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        picture = Image.new("RGB", (400, 500), (5 * i, 200 - 3 * i, 90))
        buffer = io.BytesIO()
        kind = {"jpg": "JPEG", "gif": "GIF", "png": "PNG", "webp": "WEBP"}[name[-4:].strip(".")]
        picture.save(buffer, kind)
        (folder / name).write_bytes(buffer.getvalue())
    whole = (folder / "mug-00.jpg").read_bytes()
    (folder / "empty-00.jpg").write_bytes(b"")
    (folder / "page-00.jpg").write_bytes(b"<html>no picture</html>")
    (folder / "corrupt-00.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / ".hidden.jpg").write_bytes(whole)
    (folder / "inside.jpg").symlink_to("mug-00.jpg")
    (folder / "outside.jpg").symlink_to("/etc/passwd")
    (folder / "subfolder").mkdir()
    return folder
