"""Machines to run processes on: network namespaces where root may make them, else this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_BRIDGE: Final = "nonesuch-br"
_NETWORK: Final = "10.213.77"  # of the test range of nobody: only this bridge knows it
_HERE: Final = f"{_NETWORK}.1"


@dataclass(frozen=True, slots=True)
class Host:
    """One machine: its address, and what a command begins with that is to run there."""

    name: str
    address: str
    prefix: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts, and the address under which they reach this process' machine."""

    here: str
    hosts: tuple[Host, ...]
    separate: bool


@contextlib.contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Make a host for each name, with an address and a loopback of its own, and remove it again.

    Without root or `ip`, all are this machine, and differ by their ports alone.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None or not _works():
        here = tuple(Host(name, "127.0.0.1", ()) for name in names)
        yield Network("127.0.0.1", here, separate=False)
        return
    _remove(names)
    try:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{_HERE}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        made = tuple(_add(name, number) for number, name in enumerate(names))
        yield Network(_HERE, made, separate=True)
    finally:
        _remove(names)


def _add(name: str, number: int) -> Host:
    space, ours, theirs = _space(name), f"nn{number}", f"nn{number}p"
    address = f"{_NETWORK}.{11 + number}"
    _ip("netns", "add", space)
    _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
    _ip("link", "set", theirs, "netns", space)
    _ip("link", "set", ours, "master", _BRIDGE, "up")
    inside = ("ip", "netns", "exec", space)
    for command in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{address}/24", "dev", theirs),
        ("link", "set", theirs, "up"),
    ):
        subprocess.run([*inside, "ip", *command], check=True, capture_output=True)
    return Host(name, address, inside)


def _remove(names: Sequence[str]) -> None:
    for name in names:
        _ip("netns", "del", _space(name), check=False)  # its end of the cable goes with it
    _ip("link", "del", _BRIDGE, check=False)


def _works() -> bool:
    """Tell whether namespaces may be made: in many containers not even root may."""
    space = _space("probe")
    worked = _ip("netns", "add", space, check=False)
    _ip("netns", "del", space, check=False)
    return worked


def _space(name: str) -> str:
    return f"nonesuch-{name}"


def _ip(*words: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *words], check=check, capture_output=True).returncode == 0
