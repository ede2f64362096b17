from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import pathlib, re, resource
from holdfast import descriptors

def room():
    return int(re.search(r"FDSize:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 2000))
descriptors.make_room(2001)  # more than there may be
before = room()
limit = descriptors.raise_limit()
descriptors.make_room(limit)
print(before, limit, room(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nobody else tells how large the table is")
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2000, reason="too few open files allowed")
def test_the_limit_is_raised_and_the_table_has_room_for_all() -> None:
    """In a process of its own, because it cannot be undone."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    before, limit, after, soft = map(int, result.stdout.split())
    assert (limit, soft) == (2000, 2000)
    assert before < 2000 <= after
