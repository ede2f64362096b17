"""What the figures depend on besides the servers: the machine and the day."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path


def describe_machine() -> str:
    """Processor, cores, memory, system and kernel, in one line."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return (
        f"{_cpu_model()}, {os.cpu_count()} cores, {memory_gb:.0f} GB memory, "
        f"{_distribution()}, Linux {platform.release()} {platform.machine()}"
    )


def today() -> str:
    """The date, UTC, as in 2031-05-17."""
    return datetime.now(UTC).date().isoformat()


def load_average() -> float:
    """How many processes wanted to run in the last minute: before a run, anything above a few tenths disturbs it."""
    return os.getloadavg()[0]


def missing_build_tool() -> str | None:
    """The first of the tools that build the load programs that is not installed."""
    return next((tool for tool in ("make", "cc") if shutil.which(tool) is None), None)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown system")
