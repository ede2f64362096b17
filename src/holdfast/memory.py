"""How the process asks the system for memory, where the usual way does not fit what it does."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_PR_SET_THP_DISABLE = 41
LARGE_BYTES = 131_072


def prepare_for_tls() -> None:
    """Let the read buffers of TLS clients take only the memory that they use; without glibc and Linux nothing happens.

    uvloop gives each of them 256 kB, of which the first page is used. glibc soon takes such blocks from its heap, where
    other things fill the gaps that clients leave: 42 kB per client were measured, and 22 kB with blocks of their own
    from the system. Huge pages would make it 256 kB per client.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    library.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
