from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.memory import PAUSE_CHECKS, REGULAR_CHECKS, Slack

PROGRAM = """
import ctypes, re
from holdfast.memory import LARGE_BYTES, prepare_for_tls

def heap_kb():
    maps = open("/proc/self/smaps").read()
    return sum(int(kb) for kb in re.findall(r"\\[heap\\]\\nSize:\\s+(\\d+) kB", maps))

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
prepare_for_tls()
before = heap_kb()
blocks = [ctypes.c_void_p(library.malloc(2 * LARGE_BYTES)) for _ in range(10)]
library.free(blocks[0])  # from now on the usual way is to take such blocks from the heap
blocks += [ctypes.c_void_p(library.malloc(2 * LARGE_BYTES)) for _ in range(100)]
print(heap_kb() - before < 1000, library.prctl(42, 0, 0, 0, 0))
"""


def run(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    ).stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is nothing to prepare")
def test_large_blocks_come_from_the_system_in_small_pages() -> None:
    """In a process of its own, because it cannot be undone."""
    assert run(PROGRAM).split() == ["True", "1"]


MB = 1_000_000


def dues(*free_mb: float) -> list[int]:
    """At which checks memory was given back, when so much was free."""
    slack = Slack()
    return [number for number, free in enumerate(free_mb) if slack.is_due(round(free * MB))]


class TestWhenMemoryIsGivenBack:
    def test_when_a_crowd_had_left_before_the_first_check(self) -> None:
        assert dues(*[50] * (REGULAR_CHECKS - 1)) == [1]

    def test_not_a_little(self) -> None:
        assert dues(1, *[3.9] * 200) == []

    def test_regularly(self) -> None:
        """Whatever has become of it, and counted from the last time."""
        assert dues(*[50] * 3 * REGULAR_CHECKS) == [1, 1 + REGULAR_CHECKS, 1 + 2 * REGULAR_CHECKS]
        assert dues(1, 20, 20, *[21] * 100) == [2, 2 + REGULAR_CHECKS]

    def test_when_a_crowd_has_left(self) -> None:
        """Not before the last of them; and not what was given back before, which counts as free all the same."""
        assert dues(1, 1, 20, 60, 100, 100.5, *[101] * (REGULAR_CHECKS - 1)) == [5]

    def test_for_every_crowd(self) -> None:
        assert dues(1, 100, 100, *[5] * 20, 100, 100, *[100] * 20) == [2, 24]

    def test_not_for_ever_later(self) -> None:
        assert dues(*range(0, 200, 2))[0] == 11

    def test_not_too_often(self) -> None:
        given = dues(*[1, 20] * 50)
        assert len(given) >= 3
        assert all(later - earlier >= PAUSE_CHECKS for earlier, later in pairwise(given))


CROWD = """
import ctypes, sys, time
from holdfast import memory

memory.CHECK_S = 0.1
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000
keeper = memory.HeapKeeper()
keeper.start()
blocks = [ctypes.c_void_p(library.malloc(1000)) for _ in range(60_000)]
for block in blocks:
    ctypes.memset(block, 1, 1000)
time.sleep(0.5)
before = resident()
for block in blocks[:-1]:  # the last one holds the end of the heap, which would be given back anyway
    library.free(block)
deadline = time.monotonic() + 20
while resident() > before - 40 and time.monotonic() < deadline:
    time.sleep(0.1)
print(before - resident())
keeper.stop()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="there is no glibc")
def test_what_is_free_goes_back_to_the_system() -> None:
    """In a process of its own, with a heap that nobody else has made."""
    assert int(run(CROWD)) > 40
