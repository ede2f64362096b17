"""Free loopback ports, chosen outside the range from which the kernel takes the ports of outgoing connections.

A port from bind(0) could be given to an outgoing connection of a test in another process before the server binds it;
one below the ephemeral range cannot. Each worker has a part of the range, those of Pushpin's tests in its other half:
a port is free until its server binds it, and two would take the same. Ports are drawn at random, so that runs that know
nothing of each other seldom meet.
"""

from __future__ import annotations

import os
import random
import socket


def _own_part(lowest: int, highest: int) -> tuple[int, int]:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % workers
    size = (highest - lowest) // 2 // workers
    part = worker + (workers if os.environ.get("HOLDFAST_TEST_PROXY") == "pushpin" else 0)
    return lowest + part * size, lowest + (part + 1) * size


_LOWEST, _HIGHEST = _own_part(10_000, 32_000)
_random = random.SystemRandom()
_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port on ``host`` that nobody listens on and that this process has not given out before."""
    for _ in range(1000):
        port = _random.randrange(_LOWEST, _HIGHEST)
        if port not in _given and _is_free(port, host):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port on {host}")


def free_ports(count: int) -> int:
    """The first of ``count`` consecutive loopback ports that are free and have not been given out before."""
    for _ in range(1000):
        first = _random.randrange(_LOWEST, _HIGHEST - count)
        ports = range(first, first + count)
        if not _given.intersection(ports) and all(_is_free(port) for port in ports):
            _given.update(ports)
            return first
    raise RuntimeError(f"no {count} free ports in a row")


def _is_free(port: int, host: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on a port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
