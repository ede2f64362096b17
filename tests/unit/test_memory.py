from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is nothing to prepare")
def test_large_blocks_come_from_the_system_in_small_pages() -> None:
    """In a process of its own, because it cannot be undone."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.split() == ["True", "1"]
