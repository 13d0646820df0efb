from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.web.addresses import (
    AddressRefusedError,
    AllowList,
    ascii_host,
    why_refused,
)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "reserved"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.255", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("203.0.113.9", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2001:2::1", "reserved"),
        ("64:ff9b:1::1", "reserved"),
        ("4000::1", "reserved"),
        # the old "compatible" form of 127.0.0.1
        ("::127.0.0.1", "reserved"),
    ],
)
def test_what_is_not_public_is_refused_by_its_name(address: str, why: str) -> None:
    assert why in (why_refused(address) or "")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("::ffff:127.0.0.1", "loopback (127.0.0.1, mapped)"),
        ("::ffff:7f00:1", "loopback (127.0.0.1, mapped)"),
        ("::ffff:169.254.169.254", "link-local (169.254.169.254, mapped)"),
        ("64:ff9b::10.0.0.1", "private (10.0.0.1, NAT64)"),
        ("2002:7f00:1::1", "loopback (127.0.0.1, 6to4)"),
        ("2002:c0a8:101::", "private (192.168.1.1, 6to4)"),
        # a Teredo client is written with all bits turned over
        ("2001:0:808:808:0:0:f5ff:fffe", "private (10.0.0.1, Teredo)"),
        ("2001:0:a00:1:0:0:f7f7:f7f7", "private (10.0.0.1, Teredo)"),
        ("2002:808:808::1", "reserved (an obsolete tunnel)"),
        ("2001:0:808:808:0:0:f7f7:f7f7", "reserved (an obsolete tunnel)"),
    ],
)
def test_addresses_within_addresses_are_judged(address: str, why: str) -> None:
    assert why_refused(address) == why


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
    ],
)
def test_public_addresses_are_not_refused(address: str) -> None:
    assert why_refused(address) is None


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "1.1.1.1 ", "::g"]
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert why_refused(text) == "not an IP address"


@given(st.ip_addresses())
def test_nothing_that_python_knows_to_be_special_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address.is_multicast or address.is_reserved or not address.is_global:
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is None and address not in ipaddress.ip_network("64:ff9b::/96"):
            assert why_refused(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_each_way_to_write_an_address_is_judged_alike(address: ipaddress.IPv4Address) -> None:
    refused = why_refused(str(address)) is not None
    number = int(address)
    assert (why_refused(str(ipaddress.IPv6Address(0xFFFF << 32 | number))) is not None) is refused
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    assert (why_refused(str(nat64)) is not None) is refused


class TestAllowList:
    @pytest.mark.parametrize(
        ("entry", "address", "port", "allowed"),
        [
            ("127.0.0.1", "127.0.0.1", 80, True),
            ("127.0.0.1", "127.0.0.1", 8000, True),
            ("127.0.0.1", "127.0.0.2", 80, False),
            ("127.0.0.1", "::ffff:127.0.0.1", 80, True),
            ("127.0.0.1:8000", "127.0.0.1", 8000, True),
            ("127.0.0.1:8000", "127.0.0.1", 8001, False),
            ("10.0.0.0/8", "10.200.1.1", 443, True),
            ("10.0.0.0/8", "11.0.0.1", 443, False),
            ("10.0.0.0/8:8080", "10.0.0.1", 8080, True),
            ("10.0.0.0/8:8080", "10.0.0.1", 80, False),
            ("::1", "::1", 80, True),
            ("[::1]", "::1", 80, True),
            ("[::1]:8000", "::1", 8000, True),
            ("[::1]:8000", "::1", 80, False),
            ("fd00::/8", "fd12::1", 80, True),
            ("[fd00::/8]:81", "fd12::1", 81, True),
            ("::ffff:10.0.0.0/104", "10.1.2.3", 80, True),
            ("::ffff:127.0.0.1", "127.0.0.1", 80, True),
            # every IPv6 address is another thing than every IPv4 address
            ("::/0", "127.0.0.1", 80, False),
            ("0.0.0.0/0", "::1", 80, False),
            ("shop.internal", "127.0.0.1", 80, False),
            ("127.0.0.1", "not an address", 80, False),
        ],
    )
    def test_addresses(self, entry: str, address: str, port: int, allowed: bool) -> None:
        assert AllowList.parse([entry]).allows_address(address, port) is allowed

    @pytest.mark.parametrize(
        ("entry", "host", "port", "allowed"),
        [
            ("shop.internal", "shop.internal", 80, True),
            ("Shop.Internal.", "sHOP.internal", 80, True),
            ("shop.internal", "shop.internal.", 80, True),
            ("shop.internal", "a.shop.internal", 80, False),
            ("shop.internal", "shop.internal.evil.example", 80, False),
            ("shop.internal:8000", "shop.internal", 8000, True),
            ("shop.internal:8000", "shop.internal", 80, False),
            ("bücher.internal", "xn--bcher-kva.internal", 80, True),
            ("xn--bcher-kva.internal", "bücher.internal", 80, True),
            ("my_shop", "my_shop", 80, True),
            ("127.0.0.1", "127.0.0.1", 80, False),
            ("shop.internal", "a..b\ud800", 80, False),
        ],
    )
    def test_names(self, entry: str, host: str, port: int, allowed: bool) -> None:
        assert AllowList.parse([entry]).allows_host(host, port) is allowed

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            ("", "no host name"),
            ("  ", "no host name"),
            ("*.internal", "wildcards are unknown"),
            ("http://shop.internal", "not a URL"),
            ("https://[::1]/", "not a URL"),
            ("shop.internal/a", "'shop.internal/a' does not appear"),
            ("10.0.0.1/8", "has host bits set"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("300.1.1.1", "300.1.1.1"),
            ("127.1", "127.1"),
            ("shop.internal:0", "1 to 65535"),
            ("shop.internal:65536", "1 to 65535"),
            ("shop.internal:", "1 to 65535"),
            ("shop.internal:http", "1 to 65535"),
            ("shop.internal:²", "1 to 65535"),
            ("a b", "no host name"),
            ("-a", "no host name"),
            ("a" * 64, "no host name"),
            ("a..b", "no host name"),
            ("user@host", "no host name"),
            ("☃" * 70, "☃"),
            ("[::1", "[::1"),
            ("[::1]x", "[::1]x"),
            ("::1]:80", "::1]:80"),
            ("[127.0.0.1]:80", "[127.0.0.1]:80"),
            ("[]", "no host name"),
        ],
    )
    def test_a_bad_entry_is_named_with_what_is_wrong(self, entry: str, why: str) -> None:
        with pytest.raises(ValueError, match=r"`allow_hosts` cannot hold") as caught:
            AllowList.parse(["127.0.0.1", entry])
        assert why in str(caught.value)
        assert repr(entry) in str(caught.value)
        assert "write e.g." in str(caught.value)

    @given(st.text(max_size=40))
    def test_any_text_is_read_or_refused(self, entry: str) -> None:
        try:
            allow = AllowList.parse([entry])
        except ValueError as error:
            assert "`allow_hosts` cannot hold" in str(error)
        else:
            assert len(allow.hosts) + len(allow.networks) == 1

    def test_an_empty_list_allows_public_addresses_alone(self) -> None:
        allow = AllowList.parse([])
        assert allow.why_refused("1.1.1.1", 80) is None
        assert allow.why_refused("127.0.0.1", 80) == "loopback"
        assert not allow.allows_host("localhost", 80)

    def test_the_reason_is_gone_for_what_is_listed(self) -> None:
        allow = AllowList.parse(["127.0.0.1:8000"])
        assert allow.why_refused("127.0.0.1", 8000) is None
        assert allow.why_refused("::ffff:127.0.0.1", 8000) is None
        assert allow.why_refused("127.0.0.1", 8001) == "loopback"

    def test_a_mapped_address_brings_no_other_form_along(self) -> None:
        allow = AllowList.parse(["10.0.0.1"])
        assert allow.why_refused("64:ff9b::10.0.0.1", 80) == "private (10.0.0.1, NAT64)"
        assert allow.why_refused("2002:a00:1::", 80) == "private (10.0.0.1, 6to4)"


def test_the_error_says_what_to_list() -> None:
    error = AddressRefusedError("::1", 8000, "loopback")
    assert "[::1]:8000 is refused, its address is loopback" in str(error)
    # What it names can be listed as it stands.
    entry = str(error).split("'")[1]
    assert AllowList.parse([entry]).allows_address("::1", 8000)
    # An OSError would be tried again by Scrapy.
    assert not isinstance(error, OSError)


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [
        ("Example.COM.", "example.com"),
        ("straße.example", "xn--strae-oqa.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
    ],
)
def test_names_in_ascii(name: str, ascii_name: str) -> None:
    assert ascii_host(name) == ascii_name
