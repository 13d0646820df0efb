"""The guard against real servers on loopback; every crawl runs in a process of its own."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import brotli
import pytest
import trustme
from scrapy.exceptions import IgnoreRequest
from scrapy.resolver import HostResolution
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from zope.interface import implementer

from curation.ingest.web import guard
from curation.ingest.web.addresses import AddressRefusedError, AllowList
from curation.ingest.web.child import scrapy_settings
from curation.ingest.web.settings import WebSettings
from curation.recipe import Limits
from tests.curation.ingest.web.guarded_crawl import HANGING, kind_of

REPOSITORY = Path(__file__).parents[4]
CRAWL = Path(__file__).with_name("guarded_crawl.py")

Answer = Callable[[str, "Server"], Iterable[bytes]]


class Server:
    """Sends whatever bytes a test wants, one request a connection, and keeps what it saw."""

    def __init__(
        self, answer: Answer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.host = host
        self.tls = tls
        self.seen: list[str] = []
        self.connections = 0
        self.hung_up_on: set[str] = set()
        self.changed = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listening = socket.create_server((host, 0), family=family)
        self.port = self.listening.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def url(self, path: str = "/", host: str | None = None) -> str:
        return f"{'https' if self.tls else 'http'}://{host or self.host}:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(60)
        with contextlib.ExitStack() as stack:
            stack.enter_context(plain)
            stack.enter_context(contextlib.suppress(OSError))
            connection = plain
            if self.tls is not None:
                connection = self.tls.wrap_socket(plain, server_side=True)
                stack.enter_context(connection)
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            path = head.split(b" ", 2)[1].decode()
            self.seen.append(path)
            try:
                for part in self.answer(path, self):
                    connection.sendall(part)
            except TimeoutError:  # the client neither reads nor hangs up
                return
            except OSError:
                with self.changed:
                    self.hung_up_on.add(path)
                    self.changed.notify_all()

    def wait_until_left(self, paths: AbstractSet[str]) -> bool:
        """Tell whether the client hangs up on some requests within a while."""
        with self.changed:
            return self.changed.wait_for(lambda: paths <= self.hung_up_on, 40)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self.threads:
            thread.join(70)


def reply(body: bytes = b"hello", status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", "Connection: close"]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def moved(location: str, status: int = 302) -> bytes:
    return reply(b"", status, Location=location)


def endless(first: bytes, part: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield part


class Crawl:
    """What became of the URLs of one crawl."""

    def __init__(self, order: dict[str, Any], folder: Path, **environment: str) -> None:
        done = subprocess.run(
            [sys.executable, str(CRAWL)],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=240,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        )
        self.returncode = done.returncode
        self.stderr = done.stderr
        values = json.loads(done.stdout) if done.stdout else {}
        self.report: dict[str, list[dict[str, Any]]] = values.get("report", {})
        self.asked: dict[str, int] = values.get("asked", {})
        self.probes: list[str] = values.get("probes", [])

    def __getitem__(self, url: str) -> dict[str, Any]:
        # Each URL ends exactly once, as a response or as an error.
        (end,) = self.report[url]
        return end


def serve(
    stack: contextlib.ExitStack,
    answer: Answer,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Server:
    server = Server(answer, host, tls)
    stack.callback(server.close)
    return server


@pytest.fixture(scope="module")
def servers() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class TestAddresses:
    """Nothing is allowed; the names are those of the system."""

    forms = (
        "localhost",
        "LocalHost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
    )
    elsewhere = (
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.1.1/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[ff02::1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:7f00:1::1]/",
        "https://10.0.0.1/",
    )
    schemes = (
        "file:///etc/hostname",
        "ftp://127.0.0.1/",
        "data:text/plain,hello",
        "s3://bucket/key",
    )
    no_names = (
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 140}example/",
        "http://a..b.example/",
    )

    @pytest.fixture(scope="class")
    @classmethod
    def victim(cls, servers: contextlib.ExitStack) -> Server:
        return serve(servers, lambda path, server: [reply(b"secret")])

    @pytest.fixture(scope="class")
    @classmethod
    def crawl(cls, victim: Server, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
        urls = [victim.url(f"/{form}", form) for form in cls.forms]
        urls += [*cls.elsewhere, *cls.schemes, *cls.no_names]
        order = {
            "urls": urls,
            "probes": [
                ["connectTCP", "127.0.0.1", victim.port, None],
                ["connectTCP", "localhost", victim.port, None],
                ["connectSSL", "127.0.0.1", victim.port, None, None],
                ["connectUNIX", "/tmp/socket", None],
            ],
        }
        return Crawl(order, tmp_path_factory.mktemp("addresses"))

    def test_loopback_is_refused_in_all_its_forms(self, crawl: Crawl, victim: Server) -> None:
        ends = {form: crawl[victim.url(f"/{form}", form)] for form in self.forms}
        assert {form: end["kind"] for form, end in ends.items()} == dict.fromkeys(
            self.forms, "address_refused"
        )
        assert "its address is loopback" in ends["localhost"]["says"]
        assert "allow_hosts" in ends["localhost"]["says"]
        assert victim.connections == 0

    def test_addresses_that_are_not_public_are_refused(self, crawl: Crawl) -> None:
        assert {url: crawl[url].get("kind") for url in self.elsewhere} == dict.fromkeys(
            self.elsewhere, "address_refused"
        )

    def test_what_is_refused_is_not_tried_again(self, crawl: Crawl, victim: Server) -> None:
        for url in (*self.elsewhere, *(victim.url(f"/{form}", form) for form in self.forms)):
            assert crawl[url]["retries"] == 0

    def test_there_are_no_other_schemes(self, crawl: Crawl) -> None:
        for url in self.schemes:
            assert crawl[url]["error"] == "NotSupported"

    def test_what_is_no_name_fails_at_once(self, crawl: Crawl) -> None:
        # Twisted alone would wait for an answer until the download times out.
        for url in self.no_names:
            assert crawl[url]["error"] in ("CannotResolveHostError", "ValueError"), crawl[url]

    def test_whatever_asks_the_reactor_is_refused(self, crawl: Crawl) -> None:
        assert crawl.probes == ["AddressRefusedError"] * 2 + ["RuntimeError"] * 2

    def test_scrapy_reports_no_mistake_of_its_own(self, crawl: Crawl) -> None:
        assert "Traceback" not in crawl.stderr
        assert "Unhandled" not in crawl.stderr


MAX_BODY = 1 << 20


def wrapped(body: bytes, times: int) -> bytes:
    for _ in range(times):
        body = gzip.compress(body, 1)
    return body


class TestHostileServer:
    """One server that may be reached, which tries everything; next to it one that may not be."""

    hops = 3

    @pytest.fixture(scope="class")
    @classmethod
    def victim(cls, servers: contextlib.ExitStack) -> Server:
        return serve(servers, lambda path, server: [reply(b"secret")])

    @pytest.fixture(scope="class")
    @classmethod
    def hostile(cls, servers: contextlib.ExitStack, victim: Server) -> Server:
        return serve(servers, cls.answer(victim), "127.0.0.2")

    @pytest.fixture(scope="class")
    @classmethod
    def six(cls, servers: contextlib.ExitStack) -> Server | None:
        return serve(servers, lambda path, server: [reply(b"six")], "::1") if has_ipv6() else None

    @classmethod
    def answer(cls, victim: Server) -> Answer:
        redirects = {
            "/to-page": "/page",
            "/to-absolute": "{self}/page",
            "/to-same-scheme": "//{host}/page",
            "/to-file": "file:///etc/passwd",
            "/to-file-odd": "FiLe:/etc/passwd",
            "/to-data": "data:text/html,hello",
            "/to-ftp": "ftp://127.0.0.2/",
            "/to-script": "javascript:alert(1)",
            "/to-private": victim.url("/"),
            "/sitemap.xml": victim.url("/sitemap.xml"),
            "/to-decimal": f"http://2130706433:{victim.port}/",
            "/to-mapped": f"http://[::ffff:127.0.0.1]:{victim.port}/",
            "/to-metadata": "http://169.254.169.254/",
            "/to-rebound": f"http://rebound.test:{victim.port}/",
            "/to-credentials": "http://user:password@127.0.0.2/",
            "/to-nowhere": "https:///page",
            "/to-broken": "http://[::1/page",
            "/to-port-0": "http://127.0.0.2:0/",
            "/to-port-high": "http://127.0.0.2:99999/",
            "/to-long": "/" + "a" * 5000,
            "/to-umlauts": "/" + "é" * 2000,
            "/to-itself": "/to-itself",
            "/to-a": "/to-b",
            "/to-b": "/to-a",
            "/hop-1": "/hop-2",
            "/hop-2": "/hop-3",
            "/hop-3": "/page",
            "/to-other-name": "http://other.test:{port}/page",
        }
        headers = b"HTTP/1.1 200 OK\r\n"
        chunked = headers + b"Transfer-Encoding: chunked\r\n\r\n"
        bomb = gzip.compress(bytes(64 * MAX_BODY), 1)
        packed = {
            "/gzip": (gzip.compress(b"hello"), "gzip"),
            "/x-gzip": (gzip.compress(b"hello"), "x-gzip"),
            "/br": (brotli.compress(b"hello"), "br"),
            "/gzip-twice": (wrapped(b"hello", 2), "gzip, gzip"),
            "/gzip-often": (wrapped(b"hello", 40), ", ".join(["gzip"] * 40)),
            "/gzip-broken": (b"\x1f\x8b\x08 no gzip at all", "gzip"),
            "/br-broken": (b"\xff\xff no brotli at all", "br"),
            "/deflate": (zlib.compress(b"hello"), "deflate"),
            "/unknown": (b"hello", "rot13"),
            "/empty": (b"", "gzip"),
            "/bomb-gzip": (bomb, "gzip"),
            "/bomb-br": (brotli.compress(bytes(64 * MAX_BODY), quality=1), "br"),
            "/bomb-within": (gzip.compress(bomb), "gzip, gzip"),
            "/robots.txt": (bomb, "gzip"),
        }

        def answer(path: str, server: Server) -> Iterable[bytes]:
            if path in redirects:
                location = redirects[path].format(
                    self=server.url().rstrip("/"), host=f"{server.host}:{server.port}",
                    port=server.port,
                )  # fmt: skip
                return [moved(location)]
            if path in packed:
                body, encoding = packed[path]
                return [reply(body, Content_Encoding=encoding)]
            match path:
                case "/headers-many":
                    return endless(headers, b"X-A: b\r\n" * 100)
                case "/headers-long":
                    return endless(headers + b"X-A: ", b"b" * 4096)
                case "/headers-folded":
                    return endless(headers + b"X-A: b\r\n", b" " + b"c" * 1000 + b"\r\n")
                case "/headers-interim":
                    return endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
                case "/headers-status":
                    return endless(b"HTTP/1.1 200 ", b"O" * 4096)
                case "/headers-300-lines":
                    return [reply(b"hello", **{f"X_{n}": "v" for n in range(300)})]
                case "/headers-100-kilobytes":
                    return [reply(b"hello", **{f"X_{n}": "v" * 1000 for n in range(100)})]
                case "/headers-below":
                    fine = {f"X_{n}": "v" * 200 for n in range(200)}
                    return [reply(b"hello", **fine)]
                case "/trailers":
                    return endless(chunked + b"5\r\nhello\r\n0\r\n", b"X-A: b\r\n" * 100)
                case "/body-endless":
                    return endless(headers + b"\r\n", bytes(65536))
                case "/body-endless-chunked":
                    return endless(chunked, b"1000\r\n" + bytes(4096) + b"\r\n")
                case "/body-declared":
                    return [reply(b"hello", Content_Length=str(MAX_BODY + 1))]
                case "/body-largest":
                    return [reply(bytes(MAX_BODY))]
                case "/talks-on":
                    return endless(reply(b"hello"), bytes(65536))
                case "/refresh":
                    body = f'<meta http-equiv="refresh" content="0; url={victim.url()}">'
                    return [reply(body.encode(), Content_Type="text/html", Refresh="0; url=/page")]
                case "/left":
                    return [reply(str(server.wait_until_left(cls.endless)).encode())]
            return [reply(path.encode())]

        return answer

    endless = frozenset(
        {
            "/headers-many",
            "/headers-long",
            "/headers-folded",
            "/headers-interim",
            "/headers-status",
            "/trailers",
            "/body-endless",
            "/body-endless-chunked",
            "/talks-on",
        }
    )

    paths = (
        "/page",
        "/to-page",
        "/to-absolute",
        "/to-same-scheme",
        "/hop-1",
        "/to-file",
        "/to-file-odd",
        "/to-data",
        "/to-ftp",
        "/to-script",
        "/to-private",
        "/sitemap.xml",
        "/to-decimal",
        "/to-mapped",
        "/to-metadata",
        "/to-rebound",
        "/to-credentials",
        "/to-nowhere",
        "/to-broken",
        "/to-port-0",
        "/to-port-high",
        "/to-long",
        "/to-umlauts",
        "/to-itself",
        "/to-a",
        "/headers-many",
        "/headers-long",
        "/headers-folded",
        "/headers-interim",
        "/headers-status",
        "/headers-300-lines",
        "/headers-100-kilobytes",
        "/headers-below",
        "/trailers",
        "/body-endless",
        "/body-endless-chunked",
        "/body-declared",
        "/body-largest",
        "/talks-on",
        "/left",
        "/refresh",
        "/gzip",
        "/x-gzip",
        "/br",
        "/gzip-twice",
        "/gzip-often",
        "/gzip-broken",
        "/br-broken",
        "/deflate",
        "/unknown",
        "/empty",
        "/bomb-gzip",
        "/bomb-br",
        "/bomb-within",
        "/robots.txt",
    )

    @pytest.fixture(scope="class")
    @classmethod
    def crawl(
        cls,
        victim: Server,
        hostile: Server,
        six: Server | None,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Crawl:
        by_name = [
            hostile.url("/by-name", name)
            for name in ("mixed.test", "shop.test", "thief.test", "shop.test.", "other.test")
        ]
        rebinding = [hostile.url(f"/{n}", "rebound.test") for n in range(2)]
        rebinding += [victim.url(f"/{n}", "rebound.test") for n in range(2, 6)]
        sixes = [] if six is None else [six.url("/", "six.test")]
        order = {
            "allow": ["127.0.0.2", "::1", "shop.test"],
            "keep": 0.0,
            "names": {
                # at first an address that may be reached, then, and for good, one that may not
                "rebound.test": [["127.0.0.2"], ["127.0.0.1"]],
                "mixed.test": [["127.0.0.1", "10.0.0.1", "127.0.0.2"]],
                "shop.test": [["127.0.0.3"]],
                "shop.test.": [["127.0.0.3"]],
                "thief.test": [["127.0.0.3"]],
                "other.test": [["127.0.0.2"]],
                "six.test": [["::1"]],
            },
            "urls": [
                *rebinding,
                *by_name,
                *sixes,
                hostile.url("/to-other-name"),
                *(hostile.url(path) for path in cls.paths),
                "http://missing.test/",
            ],
            "settings": {
                "DOWNLOAD_MAXSIZE": MAX_BODY,
                "REDIRECT_MAX_TIMES": cls.hops,
            },
        }
        # A proxy that the environment names would connect where nothing is checked.
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), victim.url())
        return Crawl(order, tmp_path_factory.mktemp("hostile"), **proxies)

    def test_nothing_ever_reaches_the_victim(self, crawl: Crawl, victim: Server) -> None:
        assert len(crawl.report) > len(self.paths)
        assert victim.connections == 0

    def test_the_crawl_makes_no_mistake_of_its_own(self, crawl: Crawl) -> None:
        assert crawl.returncode == 0
        assert "Traceback" not in crawl.stderr
        assert "Unhandled" not in crawl.stderr

    def test_a_name_that_points_elsewhere_the_second_time_gains_nothing(
        self, crawl: Crawl, hostile: Server, victim: Server
    ) -> None:
        assert crawl[hostile.url("/0", "rebound.test")]["status"] == 200
        assert crawl[hostile.url("/1", "rebound.test")]["kind"] == "address_refused"
        for n in range(2, 6):
            assert crawl[victim.url(f"/{n}", "rebound.test")]["kind"] == "address_refused"

    def test_of_several_addresses_those_are_used_that_may_be(
        self, crawl: Crawl, hostile: Server
    ) -> None:
        assert crawl[hostile.url("/by-name", "mixed.test")]["status"] == 200

    def test_a_listed_name_vouches_for_itself_alone(self, crawl: Crawl, hostile: Server) -> None:
        # Nobody listens there: that the connection failed shows that it was tried.
        tried = crawl[hostile.url("/by-name", "shop.test")]
        assert tried["error"] == "DownloadConnectionRefusedError"
        assert crawl[hostile.url("/by-name", "thief.test")]["kind"] == "address_refused"

    def test_ipv6_works(self, crawl: Crawl, six: Server | None) -> None:
        if six is None:
            pytest.skip("this machine has no IPv6 on loopback")
        assert crawl[six.url("/", "six.test")]["body"] == "six"

    def test_a_name_that_does_not_exist_is_not_called_refused(self, crawl: Crawl) -> None:
        end = crawl["http://missing.test/"]
        assert (end["error"], end["kind"]) == ("CannotResolveHostError", None)

    @pytest.mark.parametrize("path", ["/to-page", "/to-absolute", "/to-same-scheme", "/hop-1"])
    def test_redirects_are_followed(self, crawl: Crawl, hostile: Server, path: str) -> None:
        end = crawl[hostile.url(path)]
        assert (end["status"], end["final"]) == (200, hostile.url("/page"))

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("/to-file", "only http and https"),
            ("/to-file-odd", "only http and https"),
            ("/to-data", "only http and https"),
            ("/to-ftp", "only http and https"),
            ("/to-script", "only http and https"),
            ("/to-credentials", "user name or password"),
            ("/to-nowhere", "no host"),
            ("/to-broken", "no URL"),
            ("/to-port-0", "no port that exists"),
            ("/to-port-high", "no URL"),
            ("/to-long", "at most 4,096 bytes"),
            ("/to-umlauts", "at most 4,096 bytes"),
            ("/to-itself", "at most 3 redirects"),
            ("/to-a", "at most 3 redirects"),
        ],
    )
    def test_redirects_that_are_refused(
        self, crawl: Crawl, hostile: Server, path: str, why: str
    ) -> None:
        end = crawl[hostile.url(path)]
        assert end["kind"] == "redirect_refused"
        assert why in end["says"]
        assert end["retries"] == 0

    @pytest.mark.parametrize(
        "path",
        ["/to-private", "/sitemap.xml", "/to-decimal", "/to-mapped", "/to-metadata", "/to-rebound"],
    )
    def test_redirects_to_refused_addresses(self, crawl: Crawl, hostile: Server, path: str) -> None:
        assert crawl[hostile.url(path)]["kind"] == "address_refused"
        assert crawl[hostile.url(path)]["retries"] == 0

    def test_a_refresh_is_no_redirect(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/refresh")]["final"] == hostile.url("/refresh")

    def test_a_redirect_to_another_host_keeps_that_hosts_distance(
        self, crawl: Crawl, hostile: Server
    ) -> None:
        end = crawl[hostile.url("/to-other-name")]
        assert end["final"] == hostile.url("/page", "other.test")
        assert end["slot"] == "other.test"

    @pytest.mark.parametrize(
        "path",
        [
            "/headers-many",
            "/headers-long",
            "/headers-folded",
            "/headers-interim",
            "/headers-status",
        ],
    )
    def test_headers_without_end(self, crawl: Crawl, hostile: Server, path: str) -> None:
        assert crawl[hostile.url(path)]["kind"] == "header_too_large"

    @pytest.mark.parametrize("path", ["/headers-300-lines", "/headers-100-kilobytes"])
    def test_headers_that_end_too_late(self, crawl: Crawl, hostile: Server, path: str) -> None:
        assert crawl[hostile.url(path)]["kind"] == "header_too_large"

    def test_many_headers_are_no_mistake(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/headers-below")]["body"] == "hello"

    def test_trailers_without_end(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/trailers")]["error"] == "ResponseDataLossError"

    @pytest.mark.parametrize("path", ["/body-endless", "/body-endless-chunked", "/body-declared"])
    def test_bodies_without_end(self, crawl: Crawl, hostile: Server, path: str) -> None:
        end = crawl[hostile.url(path)]
        assert end["error"] == "DownloadCancelledError"
        assert end["retries"] == 0

    def test_the_largest_body(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/body-largest")]["size"] == MAX_BODY

    def test_what_comes_after_the_answer_is_not_read(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/talks-on")]["body"] == "hello"

    def test_who_sends_without_end_is_hung_up_on(self, crawl: Crawl, hostile: Server) -> None:
        # Asked while the crawl still ran: its end would have hung up on anyone.
        assert crawl[hostile.url("/left")]["body"] == "True"

    @pytest.mark.parametrize("path", ["/gzip", "/x-gzip", "/br", "/gzip-twice", "/unknown"])
    def test_packed_bodies(self, crawl: Crawl, hostile: Server, path: str) -> None:
        assert crawl[hostile.url(path)]["body"] == "hello"

    def test_an_empty_body_needs_no_unpacking(self, crawl: Crawl, hostile: Server) -> None:
        assert crawl[hostile.url("/empty")]["size"] == 0

    @pytest.mark.parametrize("path", ["/bomb-gzip", "/bomb-br", "/bomb-within", "/robots.txt"])
    def test_bombs(self, crawl: Crawl, hostile: Server, path: str) -> None:
        end = crawl[hostile.url(path)]
        assert end["kind"] == "body_too_large"
        assert f"{MAX_BODY} B" in end["says"]
        assert end["retries"] == 0

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("/gzip-often", "this one is 40 times"),
            ("/gzip-broken", "cannot be unpacked"),
            ("/br-broken", "cannot be unpacked"),
            ("/deflate", "which was not asked for"),
        ],
    )
    def test_bodies_that_cannot_be_unpacked(
        self, crawl: Crawl, hostile: Server, path: str, why: str
    ) -> None:
        end = crawl[hostile.url(path)]
        assert end["kind"] == "body_damaged"
        assert why in end["says"]


class TestTls:
    """Every certificate but one is wrong in its own way."""

    @pytest.fixture(scope="class")
    @classmethod
    def authority(cls) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture(scope="class")
    @classmethod
    def plain(cls, servers: contextlib.ExitStack) -> Server:
        return serve(servers, lambda path, server: [reply(b"plain")])

    @pytest.fixture(scope="class")
    @classmethod
    def sites(
        self, servers: contextlib.ExitStack, authority: trustme.CA, plain: Server
    ) -> dict[str, Server]:
        now = datetime.now(UTC)
        day = timedelta(days=1)
        issue = authority.issue_cert
        certificates = {
            "good": issue("good.test"),
            "address": issue("127.0.0.1"),
            "stranger": trustme.CA().issue_cert("good.test"),
            "named otherwise": issue("other.test"),
            "expired": issue("good.test", not_before=now - 9 * day, not_after=now - day),
            "not yet": issue("good.test", not_before=now + day, not_after=now + 9 * day),
            "old": issue("good.test"),
        }

        def answer(path: str, server: Server) -> Iterable[bytes]:
            match path:
                case "/down":
                    return [moved(plain.url("/", "good.test"))]
                case "/along":
                    return [moved("/along-too")]
                case "/along-too":
                    return [moved(plain.url("/", "good.test"))]
                case "/headers":
                    return endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000)
                case "/talks-on":
                    return endless(reply(b"hello"), bytes(65536))
                case "/left":
                    return [reply(str(server.wait_until_left({"/headers", "/talks-on"})).encode())]
            return [reply(b"secure")]

        sites = {}
        for name, certificate in certificates.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            if name == "old":
                with pytest.warns(DeprecationWarning):
                    context.minimum_version = ssl.TLSVersion.TLSv1
                    context.maximum_version = ssl.TLSVersion.TLSv1_1
                context.set_ciphers("ALL:@SECLEVEL=0")
            sites[name] = serve(servers, answer, tls=context)
        return sites

    @pytest.fixture(scope="class")
    @classmethod
    def up(cls, servers: contextlib.ExitStack, sites: dict[str, Server]) -> Server:
        return serve(servers, lambda path, _: [moved(sites["good"].url("/", "good.test"))])

    @pytest.fixture(scope="class")
    @classmethod
    def crawl(
        cls,
        authority: trustme.CA,
        sites: dict[str, Server],
        up: Server,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Crawl:
        folder = tmp_path_factory.mktemp("tls")
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        good = sites["good"]
        order = {
            "allow": ["127.0.0.1"],
            "names": {"good.test": [["127.0.0.1"]]},
            "urls": [
                *(site.url("/", "good.test") for site in sites.values()),
                *(good.url(path, "good.test") for path in ("/down", "/along", "/headers")),
                good.url("/talks-on", "good.test"),
                good.url("/left", "good.test"),
                sites["address"].url("/by-address"),
                up.url("/", "good.test"),
            ],
            "settings": {"RETRY_ENABLED": False, "DOWNLOAD_MAXSIZE": MAX_BODY},
        }
        return Crawl(order, folder, SSL_CERT_FILE=str(folder / "authority.pem"))

    def test_a_good_certificate(self, crawl: Crawl, sites: dict[str, Server]) -> None:
        assert crawl[sites["good"].url("/", "good.test")]["body"] == "secure"
        assert crawl[sites["address"].url("/by-address")]["body"] == "secure"

    @pytest.mark.parametrize(
        "name", ["address", "stranger", "named otherwise", "expired", "not yet", "old"]
    )
    def test_a_bad_certificate(
        self, crawl: Crawl, sites: dict[str, Server], plain: Server, name: str
    ) -> None:
        end = crawl[sites[name].url("/", "good.test")]
        assert end["error"] == "DownloadFailedError"
        assert {"Error", "VerificationError"} & set(end["causes"]), (name, end)
        # Not a byte of the request goes to whoever that is.
        assert "/" not in sites[name].seen

    @pytest.mark.parametrize("path", ["/down", "/along"])
    def test_https_is_never_left(
        self, crawl: Crawl, sites: dict[str, Server], plain: Server, path: str
    ) -> None:
        end = crawl[sites["good"].url(path, "good.test")]
        assert end["kind"] == "redirect_refused"
        assert "https is never left for http" in end["says"]
        assert plain.connections == 0

    def test_http_may_lead_to_https(self, crawl: Crawl, up: Server) -> None:
        assert crawl[up.url("/", "good.test")]["body"] == "secure"

    def test_who_talks_without_end_is_hung_up_on(
        self, crawl: Crawl, sites: dict[str, Server]
    ) -> None:
        good = sites["good"]
        assert crawl[good.url("/headers", "good.test")]["kind"] == "header_too_large"
        assert crawl[good.url("/talks-on", "good.test")]["body"] == "hello"
        # Asked while the crawl still ran: its end would have hung up on anyone.
        assert crawl[good.url("/left", "good.test")]["body"] == "True"

    def test_the_crawl_makes_no_mistake_of_its_own(self, crawl: Crawl) -> None:
        assert "Traceback" not in crawl.stderr
        assert "Unhandled" not in crawl.stderr


class TestRobots:
    """robots.txt passes the same guard, and is asked at every hop."""

    @pytest.fixture(scope="class")
    @classmethod
    def victim(cls, servers: contextlib.ExitStack) -> Server:
        return serve(servers, lambda path, server: [reply(b"User-agent: *\nDisallow: /\n")])

    @pytest.fixture(scope="class")
    @classmethod
    def strict(cls, servers: contextlib.ExitStack) -> Server:
        def answer(path: str, server: Server) -> Iterable[bytes]:
            if path == "/robots.txt":
                return [reply(b"User-agent: *\nDisallow: /secret\n")]
            return [reply(b"strict")]

        return serve(servers, answer, "127.0.0.2")

    @pytest.fixture(scope="class")
    @classmethod
    def site(self, servers: contextlib.ExitStack, victim: Server, strict: Server) -> Server:
        def answer(path: str, server: Server) -> Iterable[bytes]:
            match path:
                case "/robots.txt":
                    return [moved(victim.url("/robots.txt"))]
                case "/to-secret":
                    return [moved(strict.url("/secret/page"))]
                case "/to-open":
                    return [moved(strict.url("/page"))]
            return [reply(b"site")]

        return serve(servers, answer, "127.0.0.2")

    @pytest.fixture(scope="class")
    @classmethod
    def crawl(
        cls,
        victim: Server,
        strict: Server,
        site: Server,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Crawl:
        order = {
            "allow": ["127.0.0.2"],
            "names": {"private.test": [["127.0.0.1"]]},
            "urls": [
                site.url("/to-secret"),
                site.url("/to-open"),
                strict.url("/secret"),
                *(victim.url(f"/{n}", "private.test") for n in range(5)),
            ],
            "settings": {"ROBOTSTXT_OBEY": True},
        }
        return Crawl(order, tmp_path_factory.mktemp("robots"))

    def test_robots_of_a_refused_address_is_not_fetched(self, crawl: Crawl, victim: Server) -> None:
        for n in range(5):
            assert crawl[victim.url(f"/{n}", "private.test")]["kind"] == "address_refused"
        assert victim.connections == 0

    def test_a_refused_name_is_looked_up_once(self, crawl: Crawl) -> None:
        assert crawl.asked["private.test"] == 1

    def test_robots_that_is_redirected_to_a_refused_address(
        self, crawl: Crawl, site: Server, victim: Server
    ) -> None:
        assert site.seen.count("/robots.txt") == 1
        assert victim.connections == 0

    def test_robots_of_a_redirects_target_is_obeyed(
        self, crawl: Crawl, site: Server, strict: Server
    ) -> None:
        assert crawl[site.url("/to-secret")]["error"] == "IgnoreRequest"
        assert crawl[strict.url("/secret")]["error"] == "IgnoreRequest"
        assert crawl[site.url("/to-open")]["body"] == "strict"
        assert not [path for path in strict.seen if path.startswith("/secret")]


def test_a_crawl_without_guard_does_not_begin(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        victim = serve(stack, lambda path, server: [reply(b"secret")])
        crawl = Crawl({"urls": [victim.url()], "guarded": False}, tmp_path)
        assert crawl.returncode != 0
        assert "call guard.install before the crawl" in crawl.stderr
        assert victim.connections == 0


def test_without_guard_nothing_is_fetched_even_where_the_crawl_begins(tmp_path: Path) -> None:
    theirs = {"TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingThreadedResolver"}
    with contextlib.ExitStack() as stack:
        victim = serve(stack, lambda path, server: [reply(b"secret")])
        order = {"urls": [victim.url()], "guarded": False, "instead": theirs}
        crawl = Crawl(order, tmp_path)
        assert crawl[victim.url()]["error"] == "NotSupported"
        assert "call guard.install before the crawl" in crawl.stderr
        assert victim.connections == 0


def test_a_name_server_that_never_answers_holds_up_nothing_else(tmp_path: Path) -> None:
    # That the crawl ends at all shows that nothing waits for its thread either.
    with contextlib.ExitStack() as stack:
        site = serve(stack, lambda path, server: [reply(b"hello")])
        hanging = [site.url(f"/{n}", HANGING) for n in range(3)]
        order = {
            "allow": ["127.0.0.1", HANGING],
            "urls": [*hanging, *(site.url(f"/{n}", "localhost") for n in range(3))],
            "settings": {"CONCURRENT_REQUESTS": 8, "RETRY_ENABLED": False},
        }
        crawl = Crawl(order, tmp_path)
        assert {crawl[url]["error"] for url in hanging} == {"DownloadTimeoutError"}
        assert sorted(site.seen) == ["/0", "/1", "/2"]
        assert crawl.returncode == 0


def test_the_settings_of_a_crawl_hold_the_guard() -> None:
    settings = scrapy_settings(WebSettings(contact="you@example.org"), Limits())
    assert settings.items() >= guard.SETTINGS.items()
    assert settings["DOWNLOADER_MIDDLEWARES"].items() >= guard.MIDDLEWARES.items()
    assert settings["DOWNLOADER_MIDDLEWARES_BASE"] == {}
    others = [path for path in settings["DOWNLOADER_MIDDLEWARES"] if "guard." not in path]
    for banned in ("redirect", "httpcompression", "httpproxy", "cookies", "httpcache"):
        assert not [path for path in others if banned in path]


class Reactor(Clock):
    """What `install` needs of a reactor, with a clock that a test moves."""

    connectTCP = connectSSL = connectUNIX = staticmethod(lambda *arguments: arguments)
    nameResolver: Any = None

    def installNameResolver(self, resolver: Any) -> None:
        self.nameResolver = resolver


@implementer(IHostnameResolver)
class Slow:
    """Answers when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Any]] = []

    def resolveHostName(self, receiver: Any, name: str, *rest: Any) -> Any:
        self.waiting.append((name, receiver))
        receiver.resolutionBegan(HostResolution(name))
        return HostResolution(name)

    def say(self, *addresses: Any) -> None:
        _, receiver = self.waiting.pop(0)
        for address in addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class Receiver:
    def __init__(self) -> None:
        self.got: list[Any] = []
        self.complete = 0

    def resolutionBegan(self, resolution: Any) -> None:
        self.began = resolution

    def addressResolved(self, address: Any) -> None:
        self.got.append(address)

    def resolutionComplete(self) -> None:
        self.complete += 1


PUBLIC = IPv4Address("TCP", "1.1.1.1", 0)
PRIVATE = IPv4Address("TCP", "10.0.0.1", 0)
PUBLIC_6 = IPv6Address("TCP", "2606:4700::1111", 0)


class TestResolver:
    @pytest.fixture
    def reactor(self) -> Reactor:
        return Reactor()

    @pytest.fixture
    def slow(self, reactor: Reactor) -> Slow:
        slow = Slow()
        guard.install(reactor, AllowList.parse(["shop.test:81"]), resolver=slow)
        return slow

    def ask(self, reactor: Reactor, name: str, port: int = 80, kinds: Any = None) -> Receiver:
        receiver = Receiver()
        reactor.nameResolver.resolveHostName(receiver, name, port, kinds)
        return receiver

    def test_who_asks_meanwhile_waits_for_the_same_answer(
        self, reactor: Reactor, slow: Slow
    ) -> None:
        first, second = self.ask(reactor, "a.test", 80), self.ask(reactor, "A.test", 443)
        assert len(slow.waiting) == 1
        slow.say(PUBLIC, PUBLIC_6)
        assert [(a.host, a.port) for a in first.got] == [("1.1.1.1", 80), ("2606:4700::1111", 80)]
        assert [a.port for a in second.got] == [443, 443]
        assert (first.complete, second.complete) == (1, 1)

    def test_an_answer_stands_for_a_while(self, reactor: Reactor, slow: Slow) -> None:
        self.ask(reactor, "a.test")
        slow.say(PUBLIC)
        reactor.advance(299)
        assert self.ask(reactor, "a.test").complete
        reactor.advance(2)
        assert not self.ask(reactor, "a.test").complete
        assert len(slow.waiting) == 1

    def test_no_answer_stands_for_a_moment(self, reactor: Reactor, slow: Slow) -> None:
        self.ask(reactor, "a.test")
        slow.say()
        assert self.ask(reactor, "a.test").complete
        reactor.advance(6)
        assert not self.ask(reactor, "a.test").complete

    def test_refused_addresses_are_left_out(self, reactor: Reactor, slow: Slow) -> None:
        receiver = self.ask(reactor, "a.test")
        slow.say(PRIVATE, PUBLIC)
        assert [a.host for a in receiver.got] == ["1.1.1.1"]

    def test_where_all_are_refused_connecting_says_so(self, reactor: Reactor, slow: Slow) -> None:
        receiver = self.ask(reactor, "a.test")
        slow.say(PRIVATE, PRIVATE)
        (address,) = receiver.got
        with pytest.raises(AddressRefusedError, match="private"):
            reactor.connectTCP(address.host, address.port, None)

    def test_a_listed_name_may_point_anywhere_at_its_port(
        self, reactor: Reactor, slow: Slow
    ) -> None:
        receiver = self.ask(reactor, "shop.test", 81)
        slow.say(PRIVATE)
        address = receiver.got[0]
        assert reactor.connectTCP(address.host, address.port, None)[0] == "10.0.0.1"
        with pytest.raises(AddressRefusedError):
            reactor.connectTCP("10.0.0.1", 81, None)
        for name, port in (("shop.test", 82), ("thief.test", 81)):
            receiver = self.ask(reactor, name, port)
            if slow.waiting:
                slow.say(PRIVATE)
            with pytest.raises(AddressRefusedError):
                reactor.connectTCP(receiver.got[0].host, port, None)

    def test_a_name_is_no_address_even_where_it_is_listed(self, reactor: Reactor) -> None:
        guard.install(reactor, AllowList.parse(["shop.test"]), resolver=Slow())
        with pytest.raises(AddressRefusedError, match="not an IP address"):
            reactor.connectTCP("shop.test", 80, None)

    def test_kinds_of_addresses(self, reactor: Reactor, slow: Slow) -> None:
        receiver = self.ask(reactor, "a.test", kinds=[IPv4Address])
        slow.say(PUBLIC_6, PUBLIC)
        assert [a.host for a in receiver.got] == ["1.1.1.1"]

    def test_of_very_many_addresses_some_are_used(self, reactor: Reactor, slow: Slow) -> None:
        receiver = self.ask(reactor, "a.test")
        slow.say(*[PUBLIC] * 1000)
        assert len(receiver.got) == 8

    def test_it_forgets(self, reactor: Reactor, slow: Slow) -> None:
        for n in range(10_001):
            self.ask(reactor, f"{n}.test")
            slow.say(PUBLIC)
        assert self.ask(reactor, "10000.test").complete
        assert not self.ask(reactor, "0.test").complete

    def test_international_names_are_asked_for_in_ascii(self, reactor: Reactor, slow: Slow) -> None:
        # Python's own codec would ask for strasse.test, which is somebody else's.
        self.ask(reactor, "straße.test")
        assert slow.waiting[0][0] == "xn--strae-oqa.test"

    def test_what_cannot_be_a_name_has_no_address(self, reactor: Reactor, slow: Slow) -> None:
        receiver = self.ask(reactor, "ß" * 70 + ".test")
        assert (receiver.got, receiver.complete) == ([], 1)
        assert not slow.waiting


class TestFailureKind:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (AddressRefusedError("10.0.0.1", 80, "private"), "address_refused"),
            (guard.HeaderTooLargeError("too long"), "header_too_large"),
            (guard.RedirectRefusedError("no"), "redirect_refused"),
            (guard.UnpackedTooLargeError("too much"), "body_too_large"),
            (guard.UnpackError("no gzip"), "body_damaged"),
        ],
    )
    def test_whatever_is_wrapped_around(self, error: Exception, kind: str) -> None:
        assert kind_of(error) == kind
        inner = ResponseFailed([Failure(ValueError("other")), Failure(error)])
        outer = RuntimeError("wrapped")
        outer.__cause__ = inner
        assert kind_of(outer) == kind
        assert guard.refusal(outer) is error

    @pytest.mark.parametrize("error", [ValueError("a"), IgnoreRequest("b"), OSError("c")])
    def test_others(self, error: Exception) -> None:
        assert kind_of(error) is None

    def test_causes_in_a_circle(self) -> None:
        first, second = ValueError("a"), ValueError("b")
        first.__cause__, second.__cause__ = second, first
        assert kind_of(first) is None
