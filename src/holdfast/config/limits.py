"""Limits of connections, made of settings and of what the system allows."""

from __future__ import annotations

import logging
import sys

from holdfast.config.settings import Settings
from holdfast.net.edge import EdgeLimits

log = logging.getLogger("holdfast.server")

RESERVED_FILES = 512
"""Descriptors kept for backends, publishers and log files. A client that is relayed to a WebSocket server needs one of
these as well: if there are not enough, the next ones get a 502."""

DOOR_FILES = 64
"""Of these, the descriptors that neither clients nor backends get: what is published must find a way in, always."""


def file_ceiling(max_files: int) -> int:
    """The descriptor number from which on clients and backends get none; numbers are given out from the lowest on."""
    return max_files - min(DOOR_FILES, max_files // 4)


def client_capacity(wanted: int, max_files: int) -> int:
    """How many clients can be accepted, each with a descriptor, when some must be left for everything else."""
    possible = max(max_files - RESERVED_FILES, max_files // 2)
    if wanted > possible:
        log.warning("client_maxconn is %d, but with %d open files allowed only %d fit", wanted, max_files, possible)
    return min(wanted, possible)


def edge_limits(settings: Settings, max_connections: int, max_files: int = sys.maxsize) -> EdgeLimits:
    """What a listening side allows its clients; see `EdgeLimits`."""
    ours = settings.holdfast
    return EdgeLimits(
        max_connections=max_connections,
        header_timeout_s=ours.header_timeout,
        idle_timeout_s=ours.idle_timeout,
        body_timeout_s=ours.body_timeout,
        send_timeout_s=ours.send_timeout,
        max_files=max_files,
    )
