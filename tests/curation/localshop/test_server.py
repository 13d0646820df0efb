from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.localshop import server
from curation.localshop.faults import Fault
from curation.localshop.pictures import DrawnPictures
from curation.localshop.plan import Way
from curation.localshop.requestlog import Entry, read_log
from curation.localshop.server import LocalShop
from tests.curation.localshop.conftest import Get


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[LocalShop]:
    with LocalShop(folder, seed=3, faults=Fault) as shop:
        yield shop


def path_of(shop: LocalShop, fault: Fault) -> str:
    return next(p.image for p in shop.faults.planted if p.fault is fault)


def data_of(shop: LocalShop, fault: Fault) -> bytes:
    return next(p.data for p in shop.faults.planted if p.fault is fault)


def dialled(shop: LocalShop) -> socket.socket:
    host, port = shop.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_response(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


# ----------------------------------------------------------------------------------------- HTTP


def test_a_connection_serves_many_requests(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        for path in ("/", "/robots.txt", "/nothing", "/media/mug-00.jpg", "/robots.txt"):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            response = read_response(connection)
            body = response.read()
            assert response.getheader("Connection") == "keep-alive"
            assert len(body) == int(response.getheader("Content-Length", ""))
            assert response.getheader("Date")


def test_requests_sent_at_once_are_answered_in_order(shop: LocalShop) -> None:
    paths = ["/media/mug-00.jpg?width=300", "/robots.txt", path_of(shop, Fault.SLOW), "/nothing"]
    lines = "".join(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n" for path in paths)
    with dialled(shop) as connection:
        connection.sendall(lines.encode())
        with connection.makefile("rb") as stream:
            types = []
            for _ in paths:
                head = iter(stream.readline, b"\r\n")
                headers = dict(line.split(b": ", 1) for line in list(head)[1:])
                types.append(headers[b"Content-Type"].split(b";")[0].strip())
                stream.read(int(headers[b"Content-Length"]))
    assert types == [b"image/jpeg", b"text/plain", b"image/jpeg", b"text/html"]


def test_a_request_may_come_in_pieces(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        for byte in b"GET /robots.txt HTTP/1.1\r\nHost: shop\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert read_response(connection).status == 200


@pytest.mark.parametrize(
    "request_", ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_a_connection_is_closed_where_that_is_asked_for(shop: LocalShop, request_: str) -> None:
    with dialled(shop) as connection:
        connection.sendall(request_.encode())
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert b"\r\nConnection: close\r\n" in data and data.endswith(b"</html>")


@pytest.mark.parametrize(
    "request_",
    [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / SPDY/9\r\n\r\n",
        "GET http://elsewhere/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\xff\xfe\r\n\r\n",
    ],
)
def test_nonsense_is_refused(shop: LocalShop, request_: str) -> None:
    with dialled(shop) as connection:
        connection.sendall(request_.encode("latin-1"))
        assert read_response(connection).status == 400


def test_a_head_without_end_is_cut_off(shop: LocalShop) -> None:
    with dialled(shop) as connection, pytest.raises(OSError):
        while True:
            connection.sendall(b"X-More: and more\r\n" * 1000)


def test_only_reading_is_allowed(shop: LocalShop, get: Get) -> None:
    got = get(f"{shop.url}/", method="DELETE")
    assert got.status == 405 and got.headers["allow"] == "GET, HEAD"


def test_heads_have_no_bodies(shop: LocalShop, get: Get) -> None:
    whole, head = (get(f"{shop.url}/media/mug-00.jpg", method=m) for m in ("GET", "HEAD"))
    assert head.body == b"" and head.status == 200
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


def test_what_has_not_changed_is_not_sent_again(shop: LocalShop, get: Get) -> None:
    product = next(p for p in shop.shop.products if Way.LINKS in p.ways)
    for path in (product.path, "/media/mug-00.jpg", "/sitemap.xml", "/sitemaps/products-1.xml.gz"):
        first = get(shop.url + path)
        second = get(shop.url + path, If_None_Match=first.headers["etag"])
        assert (second.status, second.body) == (304, b"")
        assert second.headers["etag"] == first.headers["etag"]
        if "last-modified" in first.headers:
            since = first.headers["last-modified"]
            assert get(shop.url + path, If_Modified_Since=since).status == 304
    assert get(shop.url + product.path).headers["last-modified"]


def test_many_clients_at_once(shop: LocalShop, get: Get) -> None:
    paths = [p.path for p in shop.shop.products if not p.robots][:8] * 25
    expected = {path: get(shop.url + path).body for path in set(paths)}
    with ThreadPoolExecutor(16) as pool:
        bodies = pool.map(lambda path: get(shop.url + path).body, paths)
        assert [body == expected[path] for path, body in zip(paths, bodies, strict=True)] == [
            True
        ] * len(paths)


# --------------------------------------------------------------------------------------- faults


def test_slow_bodies_come_in_pieces_and_whole(shop: LocalShop, get: Get) -> None:
    assert get(shop.url + path_of(shop, Fault.SLOW)).body == data_of(shop, Fault.SLOW)


def test_truncated_bodies_end_early_without_a_reset(shop: LocalShop, get: Get) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(shop.url + path_of(shop, Fault.TRUNCATED))
    data = data_of(shop, Fault.TRUNCATED)
    assert caught.value.partial == data[: len(data) // 2]


def test_connections_are_reset_within_the_body(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        connection.sendall(f"GET {path_of(shop, Fault.RESET)} HTTP/1.1\r\n\r\n".encode())
        response = read_response(connection)
        data = data_of(shop, Fault.RESET)
        assert response.getheader("Content-Length") == str(len(data))
        with pytest.raises(ConnectionResetError):
            response.read()


def test_endless_bodies_go_on_until_the_client_has_enough(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        connection.sendall(f"GET {path_of(shop, Fault.ENDLESS)} HTTP/1.1\r\n\r\n".encode())
        response = read_response(connection)
        assert response.getheader("Content-Length") is None
        start = response.read(20 << 20)
        response.close()
    assert len(start) == 20 << 20
    assert start.startswith(data_of(shop, Fault.ENDLESS))
    until(lambda: shop.open_connections == 0)


def test_endless_bodies_end_after_all(
    shop: LocalShop, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_BYTES", 1 << 20)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        get(shop.url + path_of(shop, Fault.ENDLESS))


def test_stalled_bodies_end_after_all(
    shop: LocalShop, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SECONDS", 1.5)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        get(shop.url + path_of(shop, Fault.STALLED))


def test_stalled_bodies_end_when_the_client_goes_away(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        connection.sendall(f"GET {path_of(shop, Fault.STALLED)} HTTP/1.1\r\n\r\n".encode())
        with read_response(connection) as response:
            assert response.read(1)
        assert shop.open_connections >= 1
    until(lambda: shop.open_connections == 0)


def test_a_client_that_does_not_read_is_not_served_into_memory(shop: LocalShop) -> None:
    with dialled(shop) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line = f"GET {path_of(shop, Fault.WEB_PAGE)} HTTP/1.1\r\n\r\n".encode()
        connection.settimeout(0.5)
        with pytest.raises((TimeoutError, ConnectionResetError, BrokenPipeError)):
            while True:
                connection.sendall(line * 500)


def test_other_clients_are_served_while_one_has_to_wait(shop: LocalShop, get: Get) -> None:
    with dialled(shop) as connection:
        connection.sendall(f"GET {path_of(shop, Fault.STALLED)} HTTP/1.1\r\n\r\n".encode())
        assert read_response(connection).status == 200
        assert get(f"{shop.url}/").status == 200


# ------------------------------------------------------------------------------------- the shop


def test_faults_are_left_out_on_request(folder: Path) -> None:
    usual, none = LocalShop(folder), LocalShop(folder, faults=False)
    count = len(usual.faults.planted)
    assert count > 20 and none.faults.planted == ()
    assert [p for p in usual.shop.products if "/media/outside.jpg" in p.images]
    assert not [p for p in none.shop.products if "/media/outside.jpg" in p.images]
    (only,) = LocalShop(folder, faults=[Fault.LOOP]).faults.planted
    assert only.fault is Fault.LOOP


def test_a_link_out_of_the_folder_redirects_out_of_the_web(shop: LocalShop, get: Get) -> None:
    got = get(f"{shop.url}/media/outside.jpg")
    assert (got.status, got.headers["location"]) == (302, "file:///etc/passwd")


def test_the_shop_can_be_closed_and_opened_again(folder: Path, get: Get) -> None:
    shop = LocalShop(folder, faults=[Fault.HEALS])
    with pytest.raises(RuntimeError, match="start it first"):
        _ = shop.url
    shop.start()
    url, heals = shop.url, path_of(shop, Fault.HEALS)
    assert get(url + heals).status == 500
    with dialled(shop) as connection:
        shop.stop()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        get(url)
    shop.stop()  # twice is no more than once
    with shop:
        assert shop.url == url
        assert [get(url + heals).status for _ in range(2)] == [500, 200]  # it remembers


def test_closing_ends_bodies_that_are_under_way(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with LocalShop(folder, faults=[Fault.STALLED], log=log) as shop, dialled(shop) as connection:
        connection.sendall(f"GET {path_of(shop, Fault.STALLED)} HTTP/1.1\r\n\r\n".encode())
        assert read_response(connection).read(1)
        shop.stop()
        assert [entry.path for entry in read_log(log)] == [path_of(shop, Fault.STALLED)]


def test_a_taken_port_is_an_error(shop: LocalShop, folder: Path) -> None:
    port = int(shop.url.rpartition(":")[2])
    with pytest.raises(OSError) as caught:
        LocalShop(folder, port=port).start()
    assert caught.value.errno == errno.EADDRINUSE


def test_it_can_listen_on_ipv6(folder: Path, get: Get) -> None:
    try:
        shop = LocalShop(folder, host="::1", faults=False)
        shop.start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with shop:
        assert shop.url.startswith("http://[::1]:")
        assert get(f"{shop.url}/robots.txt").text.endswith(f"{shop.url}/sitemap.xml\n")


def test_answers_can_be_late(folder: Path, get: Get) -> None:
    with LocalShop(folder, faults=False, delay=0.3) as shop:
        began = time.monotonic()
        assert get(f"{shop.url}/robots.txt").status == 200
        assert time.monotonic() - began >= 0.3


def test_a_generated_shop_has_a_picture_a_product(get: Get) -> None:
    with LocalShop.generated(30, seed=1) as shop:
        assert [len(p.images) for p in shop.shop.products] == [1] * 30
        names = {p.images[0] for p in shop.shop.products}
        assert names == {f"/media/{name}" for name in DrawnPictures(30).names}
        assert get(shop.url + names.pop()).body.startswith(b"\x89PNG")
        assert shop.faults.planted == ()


# -------------------------------------------------------------------------------------- the log


def test_the_log_says_what_was_asked(folder: Path, tmp_path: Path, get: Get) -> None:
    log = tmp_path / "deep" / "log.jsonl"
    with LocalShop(folder, faults=[Fault.TRUNCATED], log=log) as shop:
        before = time.time()
        etag = get(f"{shop.url}/", User_Agent="Crawler/1").headers["etag"]
        get(f"{shop.url}/?a=%22b%22", If_None_Match=etag, User_Agent="Crawler/1")
        get(f"{shop.url}/nothing", method="HEAD")
        with pytest.raises(http.client.IncompleteRead):
            get(shop.url + path_of(shop, Fault.TRUNCATED))
        # Truncated bodies are logged once they are on their way, maybe after the client saw them.
        until(lambda: len(read_log(log)) == 4)
        half = len(data_of(shop, Fault.TRUNCATED)) // 2
    entries = read_log(log)
    assert [(e.method, e.path, e.status) for e in entries] == [
        ("GET", "/", 200),
        ("GET", "/?a=%22b%22", 304),
        ("HEAD", "/nothing", 404),
        ("GET", path_of(shop, Fault.TRUNCATED), 200),
    ]
    assert entries[0].bytes > 1000 and [e.bytes for e in entries[1:]] == [0, 0, half]
    assert [e.if_none_match for e in entries] == [None, etag, None, None]
    assert [e.user_agent for e in entries] == ["Crawler/1", "Crawler/1", None, None]
    assert all(before - 1 <= e.time <= time.time() + 1 for e in entries)
    assert json.loads(log.read_text().splitlines()[0]).keys() == Entry.__annotations__.keys()


def test_the_log_goes_on_where_it_ended(folder: Path, tmp_path: Path, get: Get) -> None:
    log = tmp_path / "log"
    assert read_log(log) == []
    for _ in range(2):
        with LocalShop(folder, faults=False, log=log) as shop:
            get(f"{shop.url}/")
    assert len(read_log(log)) == 2


def test_the_log_counts_requests_at_once(folder: Path, tmp_path: Path, get: Get) -> None:
    log = tmp_path / "log"
    ready = threading.Barrier(3)

    def both(_: int) -> None:
        ready.wait()
        get(f"{shop.url}/")

    with LocalShop(folder, faults=False, log=log, delay=1.0) as shop:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(both, range(3)))
        get(f"{shop.url}/")
    at_once = [entry.at_once for entry in read_log(log)]
    assert len(at_once) == 4 and at_once[-1] == 1 and max(at_once) <= 3
