"""Which addresses a crawl may connect to: public ones, and those that the user lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import ClassVar, Final, Self

import idna

from curation.errors import CurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class RefusedError(CurationError):
    """What the guard of a crawl refuses. `kind` tells the subclasses apart in a report."""

    kind: ClassVar[str]


class AddressRefusedError(RefusedError):
    """An address that a crawl may not connect to."""

    kind = "address_refused"

    def __init__(self, address: str, port: int, why: str) -> None:
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        super().__init__(
            f"{where} is refused, its address is {why}; add '{where}' to `allow_hosts` if this "
            "crawl is meant to reach it"
        )


# IANA's special-purpose registries (RFC 6890 and what updates it). A table of our own: what the
# standard library calls private changed between patch releases of Python.
_REFUSED_4: Final = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", "reserved"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private (shared by a provider's customers)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved for benchmarks"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_REFUSED_6: Final = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private (site-local)"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "reserved for documentation"),
        ("3fff::/20", "reserved for documentation"),
    )
)
_GLOBAL_6: Final = IPv6Network("2000::/3")  # all that is handed out to the public so far
_NAT64: Final = IPv6Network("64:ff9b::/96")


def why_refused(address: str) -> str | None:
    """Tell why an address is not public; None when it is.

    Addresses that hold another one (mapped, NAT64, 6to4, Teredo) are judged by that one too.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "not an IP address"
    return _why_refused(parsed)


def _why_refused(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((why for network, why in _REFUSED_4 if address in network), None)
    for inner, form in _within(address):
        if (why := _why_refused(inner)) is not None:
            return f"{why} ({inner}, {form})"
    if address.ipv4_mapped is not None or address in _NAT64:
        return None
    if address.sixtofour is not None or address.teredo is not None:
        # Where such a tunnel comes out is up to whoever runs a relay nearby.
        return "reserved (an obsolete tunnel)"
    named = next((why for network, why in _REFUSED_6 if address in network), None)
    return named or (None if address in _GLOBAL_6 else "reserved")


def _within(address: IPv6Address) -> list[tuple[IPv4Address, str]]:
    """List the IPv4 addresses that an IPv6 address holds."""
    found = []
    if address.ipv4_mapped is not None:
        found.append((address.ipv4_mapped, "mapped"))
    if address.sixtofour is not None:
        found.append((address.sixtofour, "6to4"))
    if address.teredo is not None:
        found += [(inner, "Teredo") for inner in address.teredo]
    if address in _NAT64:
        found.append((IPv4Address(int(address) & 0xFFFF_FFFF), "NAT64"))
    return found


@dataclass(frozen=True, slots=True)
class AllowList:
    """What a crawl may connect to although it is not public.

    Attributes
    ----------
    hosts : frozenset of (name, port or None)
        Whoever answers for these names in DNS may point them anywhere; an address is not allowed
        to other names by that.
    networks : tuple of (network, port or None)
    """

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read entries such as '127.0.0.1', '10.0.0.0/8', 'shop.internal', '[::1]:8000'.

        Raises
        ------
        ValueError
            If one of them is no host, address or network, or has a port out of range.
        """
        hosts: set[tuple[str, int | None]] = set()
        networks: list[tuple[Network, int | None]] = []
        for entry in entries:
            text, port = _split_port(entry)
            network = _network(text, entry)
            if network is None:
                hosts.add((_host(text, entry), port))
            else:
                networks.append((network, port))
        return cls(frozenset(hosts), tuple(networks))

    def allows_host(self, host: str, port: int) -> bool:
        """Tell whether a name may be reached wherever it points to."""
        try:
            name = ascii_host(host)
        except ValueError:
            return False
        return (name, None) in self.hosts or (name, port) in self.hosts

    def allows_address(self, address: str, port: int) -> bool:
        """Tell whether an IP address is listed."""
        try:
            parsed = _unmapped(ip_address(address))
        except ValueError:
            return False
        return any(
            listed in (None, port) and parsed.version == network.version and parsed in network
            for network, listed in self.networks
        )

    def why_refused(self, address: str, port: int) -> str | None:
        """Tell why an address may not be connected to; None when it may."""
        why = why_refused(address)
        return None if why is None or self.allows_address(address, port) else why


def ascii_host(name: str) -> str:
    """Write a host name as DNS knows it: in ASCII, in lower case, without a dot at its end.

    Raises
    ------
    ValueError
        If that cannot be done.
    """
    name = name.removesuffix(".")
    if name.isascii():
        return name.lower()
    return idna.encode(name, uts46=True).decode("ascii")


_ENTRY: Final = re.compile(
    r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?"
)
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBERS: Final = re.compile(r"[0-9.]+")


def _split_port(entry: str) -> tuple[str, int | None]:
    if "://" in entry:
        raise _bad(entry, "it must be a host, not a URL")
    match = _ENTRY.fullmatch(entry.strip())
    if match is None:  # an IPv6 address without brackets, or nothing that we know
        return entry.strip(), None
    host, digits = match["v6"] or match["host"], match["port"]
    if digits is None:
        return host, None
    if not (digits.isascii() and digits.isdecimal() and 1 <= int(digits[:6]) <= 65535):
        raise _bad(entry, "the port must be a number from 1 to 65535")
    return host, int(digits)


def _network(text: str, entry: str) -> Network | None:
    """Read an address or a network; None when it is meant as a name."""
    if "/" not in text and ":" not in text and not _NUMBERS.fullmatch(text):
        return None
    try:
        network = ip_network(text)
    except ValueError as error:
        raise _bad(entry, str(error)) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        inner = _unmapped(network.network_address)
        if isinstance(inner, IPv4Address):
            return IPv4Network((inner, network.prefixlen - 96))
    return network


def _unmapped(address: Address) -> Address:
    """Give the IPv4 address that a mapped one is another way to write."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _host(text: str, entry: str) -> str:
    try:
        name = ascii_host(text)
    except ValueError as error:
        raise _bad(entry, str(error)) from None
    if not _NAME.fullmatch(name):
        raise _bad(entry, "it is no host name, no IP address and no network; wildcards are unknown")
    return name


def _bad(entry: str, why: str) -> ValueError:
    return ValueError(
        f"`allow_hosts` cannot hold {entry!r}: {why}; write e.g. 'shop.internal', "
        "'127.0.0.1:8000', '10.0.0.0/8' or '[::1]:8000'"
    )
