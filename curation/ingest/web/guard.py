"""Where a crawl meets the network: what it connects to, and how much it lets itself be told.

Addresses are checked in `connectTCP`, the one place where a reactor opens a connection, after DNS
has answered; what a name stood for a moment ago, or stands for elsewhere, does not matter there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from socket import gaierror, getaddrinfo
from threading import Thread
from typing import Any, Final, Self
from urllib.parse import urlsplit

import idna
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.resolver import HostResolution
from twisted.internet._resolver import GAIResolver
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IResolutionReceiver,
)
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web._newclient import Request as TxRequest
from twisted.web.client import ResponseFailed
from zope.interface import implementer

from curation.ingest.web.addresses import AddressRefusedError, AllowList, RefusedError

MAX_HEADER_BYTES: Final = 64 << 10
MAX_HEADER_LINES: Final = 256
MAX_LOCATION_BYTES: Final = 4096
MAX_ENCODINGS: Final = 2

_HERE: Final = "curation.ingest.web.guard"

# Settings of Scrapy that security needs. They go last: nothing may override them.
SETTINGS: Final[dict[str, Any]] = {
    "DOWNLOAD_HANDLERS": {
        "http": f"{_HERE}.GuardedHandler",
        "https": f"{_HERE}.GuardedHandler",
        "data": None,
        "file": None,
        "ftp": None,
        "s3": None,
    },
    "TWISTED_DNS_RESOLVER": f"{_HERE}.InstalledResolver",
    "DOWNLOAD_VERIFY_CERTIFICATES": True,
    "DOWNLOAD_TLS_MIN_VERSION": "TLSv1.2",
    "DOWNLOAD_FAIL_ON_DATALOSS": True,
    # A proxy would connect where we cannot check.
    "HTTPPROXY_ENABLED": False,
    "METAREFRESH_ENABLED": False,
    "COOKIES_ENABLED": False,
    "HTTPCACHE_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
}

# Instead of Scrapy's RedirectMiddleware and HttpCompressionMiddleware.
MIDDLEWARES: Final = {f"{_HERE}.GuardedCompression": 590, f"{_HERE}.GuardedRedirects": 600}


class HeaderTooLargeError(RefusedError):
    """A response whose status line and headers do not end."""

    kind = "header_too_large"


class RedirectRefusedError(RefusedError):
    """A redirect that is not followed."""

    kind = "redirect_refused"


class UnpackedTooLargeError(RefusedError):
    """A body that unpacks to more than a body may have."""

    kind = "body_too_large"


class UnpackError(RefusedError):
    """A body that cannot be unpacked."""

    kind = "body_damaged"


def refusal(exception: BaseException) -> RefusedError | None:
    """Find what the guard raised in whatever Twisted and Scrapy have wrapped around it."""
    return next((e for e in causes(exception) if isinstance(e, RefusedError)), None)


def causes(exception: BaseException) -> Iterator[BaseException]:
    """Walk through what an exception was made of, itself first."""
    waiting, seen = [exception], set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [e for e in (cause.__cause__, cause.__context__) if e is not None]
        if isinstance(cause, ResponseFailed):
            waiting += [failure.value for failure in cause.reasons if failure.value is not None]


def install(
    reactor: Any,
    allow: AllowList,
    *,
    resolver: Any = None,
    keep: float = 300.0,
) -> None:
    """Let a reactor connect to nothing but public addresses and those in a list.

    Parameters
    ----------
    reactor
        The reactor of the crawl, before it runs.
    allow : AllowList
    resolver : IHostnameResolver provider, optional
        What answers for names; the default asks the system.
    keep : float
        Seconds that an answer stands for.
    """
    reactor.connectTCP = _GuardedConnect(reactor.connectTCP, allow)
    reactor.connectSSL = partial(_refuse, "connectSSL")
    reactor.connectUNIX = partial(_refuse, "connectUNIX")
    asked = _system_resolver(reactor) if resolver is None else resolver
    reactor.installNameResolver(GuardedResolver(reactor, asked, allow, keep))


class _GuardedConnect:
    """`connectTCP` of a reactor, for checked addresses alone."""

    def __init__(self, connect: Callable[..., Any], allow: AllowList) -> None:
        self._connect = connect
        self._allow = allow

    def __call__(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        # A name is refused as well, even one that is listed: it would be looked up once more.
        why = self._allow.why_refused(host, port)
        if why is not None and not isinstance(host, _Vouched):
            raise AddressRefusedError(host, port, why)
        return self._connect(host, port, *args, **kwargs)


def _refuse(name: str, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError(f"{name} is not guarded; a crawl connects by connectTCP alone")


class _Vouched(str):
    """An address that was found for a name which may point anywhere.

    The permission travels with the value, so that no other name can have it for the same address.
    """

    __slots__ = ()


def _system_resolver(reactor: Any) -> GAIResolver:
    """Make a resolver with threads of its own: names that hang must not hold up anything else."""
    pool = ThreadPool(0, 16, "names")
    # The process must be able to end while a name server keeps one of them waiting.
    pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
    pool.start()
    return GAIResolver(reactor, lambda: pool, _look_up)


def _look_up(*args: Any, **kwargs: Any) -> Any:
    try:
        return getaddrinfo(*args, **kwargs)
    except (ValueError, OSError) as error:
        # What is no name at all raises ValueError, after which Twisted would never answer.
        raise gaierror(str(error)) from error


_MAX_NAMES: Final = 10_000
_MAX_ADDRESSES: Final = 8  # of one name; each is tried in turn
_KEEP_NOTHING: Final = 5.0  # seconds that a name without an address is believed to have none


@implementer(IResolutionReceiver)
class _Answer:
    """Collects the addresses of one look-up."""

    def __init__(self, done: Callable[[list[IAddress]], None]) -> None:
        self._addresses: list[IAddress] = []
        self._done = done

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        if len(self._addresses) < _MAX_ADDRESSES:
            self._addresses.append(address)

    def resolutionComplete(self) -> None:
        self._done(self._addresses)


@implementer(IHostnameResolver)
class GuardedResolver:
    """Looks each name up once in a while and gives only the addresses that may be used.

    Where there is none, it gives one that may not: `connectTCP` then says why, which "no such
    host" would not.
    """

    def __init__(self, reactor: Any, asked: Any, allow: AllowList, keep: float) -> None:
        self._reactor = reactor
        self._asked = asked
        self._allow = allow
        self._keep = keep
        self._known: OrderedDict[str, tuple[float, list[IAddress]]] = OrderedDict()
        self._waiting: dict[str, list[Callable[[list[IAddress]], None]]] = {}

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> HostResolution:
        """Look a name up; see `IHostnameResolver`."""
        resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def deliver(addresses: list[IAddress]) -> None:
            for address in self._usable(addresses, hostName, portNumber):
                if addressTypes is None or isinstance(address, tuple(addressTypes)):
                    resolutionReceiver.addressResolved(address)
            resolutionReceiver.resolutionComplete()

        try:
            name = hostName if hostName.isascii() else idna.encode(hostName).decode("ascii")
        except UnicodeError:
            deliver([])
        else:
            self._find(name.lower(), deliver)
        return resolution

    def _find(self, name: str, deliver: Callable[[list[IAddress]], None]) -> None:
        until, addresses = self._known.get(name, (0.0, []))
        if self._reactor.seconds() < until:
            deliver(addresses)
        elif name in self._waiting:
            self._waiting[name].append(deliver)
        else:
            self._waiting[name] = [deliver]
            self._asked.resolveHostName(_Answer(partial(self._found, name)), name)

    def _found(self, name: str, addresses: list[IAddress]) -> None:
        keep = self._keep if addresses else min(self._keep, _KEEP_NOTHING)
        self._known[name] = self._reactor.seconds() + keep, addresses
        self._known.move_to_end(name)
        if len(self._known) > _MAX_NAMES:
            self._known.popitem(last=False)
        for deliver in self._waiting.pop(name):
            deliver(addresses)

    def _usable(self, addresses: list[IAddress], name: str, port: int) -> Iterator[IAddress]:
        found = [a for a in addresses if isinstance(a, IPv4Address | IPv6Address)]
        if self._allow.allows_host(name, port):
            yield from (type(a)("TCP", _Vouched(a.host), port) for a in found)
            return
        good = [a for a in found if self._allow.why_refused(a.host, port) is None]
        yield from (type(a)("TCP", a.host, port) for a in good or found[:1])


class InstalledResolver:
    """Keeps Scrapy, which installs a resolver when it begins, from replacing ours."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        """Make it as Scrapy does."""
        return cls(reactor)

    def install_on_reactor(self) -> None:
        """Install nothing."""
        _assert_installed(self._reactor)


def _assert_installed(reactor: Any) -> None:
    if not isinstance(reactor.connectTCP, _GuardedConnect) or not isinstance(
        reactor.nameResolver, GuardedResolver
    ):
        raise RuntimeError("the reactor is not guarded; call guard.install before the crawl")


class _BoundedParser(_LenientHTTPClientParser):
    """A response parser that gives up on headers that do not end, interim responses included.

    It must define no instance attribute in `__init__`: the class of a parser is changed to it.
    """

    _lines = 0
    _bytes = 0

    def lineReceived(self, line: bytes) -> None:
        self._lines += 1
        self._bytes += len(line) + len(self.delimiter)
        if self._lines > MAX_HEADER_LINES or self._bytes > MAX_HEADER_BYTES:
            raise HeaderTooLargeError(
                f"headers must have at most {MAX_HEADER_LINES} lines and {MAX_HEADER_BYTES:,} "
                f"bytes; after {self._lines} lines and {self._bytes:,} bytes there is no end"
            )
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        raise HeaderTooLargeError(
            f"a line of the headers must have at most {self.MAX_LENGTH:,} bytes, this one has "
            f"{len(line):,} or more"
        )


class _BoundedProtocol(_LenientHTTP11ClientProtocol):
    """Uses `_BoundedParser`, and leaves servers that do not stop talking."""

    def request(self, request: TxRequest) -> Any:
        response = super().request(request)
        assert self._parser is not None
        self._parser.__class__ = _BoundedParser
        return response

    def _giveUp(self, reason: Failure) -> None:
        super()._giveUp(reason)  # type: ignore[no-untyped-call]
        if not isinstance(reason.value, ConnectionDone):
            # TLS would wait for the other side to say goodbye too, and read on until it does.
            assert self.transport is not None
            self.transport.abortConnection()


class _BoundedFactory(_LenientHTTP11ClientFactory):
    """Builds `_BoundedProtocol`."""

    def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:
        return _BoundedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]


class GuardedHandler(HTTP11DownloadHandler):
    """Fetches http and https over a guarded reactor, with bounded headers."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        from twisted.internet import reactor  # importing it chooses one

        _assert_installed(reactor)
        self._pool._factory = _BoundedFactory


class GuardedRedirects(RedirectMiddleware):
    """Follows redirects to http and https, a bounded number of times, never from https to http.

    A redirected request begins anew: robots.txt and the address are checked for each hop.
    """

    def process_response(
        self, request: Request, response: Response, spider: Any = None
    ) -> Request | Response:
        """Give the request that a redirect asks for; other responses pass.

        Raises
        ------
        RedirectRefusedError
            If the redirect may not be followed.
        """
        try:
            return super().process_response(request, response)
        except ValueError as error:
            raise RedirectRefusedError(
                f"the target of the redirect is no URL: {_shown(response)}"
            ) from error

    def _build_redirect_request(
        self, source_request: Request, response: Response, *, url: str, **kwargs: Any
    ) -> Request:
        _check_redirect(source_request.url, response, url)
        request = super()._build_redirect_request(source_request, response, url=url, **kwargs)
        host = urlsplit(source_request.url).hostname
        if request.meta.get("download_slot") == host != urlsplit(url).hostname:
            # The slot of a host keeps the distance between requests; this is another host.
            del request.meta["download_slot"]
        return request

    def handle_referer(self, request: Request, response: Response) -> None:
        """Send no Referer."""
        request.headers.pop("Referer", None)

    def _redirect(self, redirected: Request, request: Request, reason: Any) -> Request:
        try:
            following = super()._redirect(redirected, request, reason)
        except IgnoreRequest as error:
            raise RedirectRefusedError(
                f"at most {self.max_redirect_times} redirects are followed in a row, the next "
                f"one goes to {redirected.url[:200]!r}"
            ) from error
        # What was asked for must end as something, even where its target was fetched before.
        following.dont_filter = True
        return following


def _check_redirect(source: str, response: Response, target: str) -> None:
    """Refuse a redirect that may not be followed."""
    parts = urlsplit(target)
    length = max(len(response.headers["Location"] or b""), len(target))
    if length > MAX_LOCATION_BYTES:
        why = f"its target must have at most {MAX_LOCATION_BYTES:,} bytes, it has {length:,}"
    elif parts.scheme not in ("http", "https"):
        why = "only http and https are followed"
    elif parts.scheme == "http" and urlsplit(source).scheme == "https":
        why = "https is never left for http"
    elif not parts.hostname or parts.port == 0:
        why = "its target has no host, or no port that exists"
    elif "@" in parts.netloc:
        why = "its target must not hold a user name or password"
    else:
        return
    raise RedirectRefusedError(f"the redirect to {_shown(response)} is refused: {why}")


def _shown(response: Response) -> str:
    return repr((response.headers["Location"] or b"")[:200].decode("latin-1"))


class GuardedCompression(HttpCompressionMiddleware):
    """Unpacks gzip and Brotli, in few layers, to no more than a body may have.

    Scrapy's way with deflate takes time that grows with the square of the body, and nothing bounds
    the number of layers: either can stop a crawl for minutes.
    """

    def process_request(self, request: Request, spider: Any = None) -> Request | Response | None:
        """Ask for what we unpack."""
        request.headers.setdefault("Accept-Encoding", b"gzip, br")
        return None

    def process_response(
        self, request: Request, response: Response, spider: Any = None
    ) -> Request | Response:
        """Unpack a body.

        Raises
        ------
        UnpackedTooLargeError, UnpackError
            If that is too much, or not possible.
        """
        _check_encodings(response)
        try:
            return super().process_response(request, response)
        except IgnoreRequest as error:
            raise UnpackedTooLargeError(str(error)) from error
        except Exception as error:  # each library has errors of its own
            raise UnpackError(f"the body cannot be unpacked: {error}") from error


def _check_encodings(response: Response) -> None:
    named = b",".join(response.headers.getlist("Content-Encoding")).lower().split(b",")
    encodings = [name.strip() for name in named if name.strip()]
    unasked = sorted({name.decode() for name in encodings} & {"deflate", "zstd"})
    if unasked:
        raise UnpackError(f"the body is packed with {unasked[0]}, which was not asked for")
    if len(encodings) > MAX_ENCODINGS:
        raise UnpackError(
            f"a body may be packed {MAX_ENCODINGS} times, this one is {len(encodings)} times"
        )
