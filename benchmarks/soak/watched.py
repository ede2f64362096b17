"""Holdfast in one process with a thread that writes down what the C library's heap has in use and free.

Run as ``python -m benchmarks.soak.watched FILE ARGUMENTS``, with the arguments of ``holdfast``. All of TLS is in that
heap, small objects of Python are not.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path

from holdfast.cli import main

EVERY_S = 1.0
_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS.split()]


def _watch(file: Path) -> None:
    """Write two numbers of kB: in use, blocks of their own included, and free. Both are 0 where nobody knows."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return
    library.mallinfo2.restype = _Heap
    fresh = file.with_suffix(".new")
    while True:
        heap = library.mallinfo2()
        fresh.write_text(f"{(heap.uordblks + heap.hblkhd) // 1000} {heap.fordblks // 1000}")
        fresh.replace(file)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    threading.Thread(target=_watch, args=[Path(sys.argv.pop(1))], daemon=True).start()
    sys.exit(main())
