"""How the process asks the system for memory, where the usual way does not fit what it does."""

from __future__ import annotations

import ctypes
import sys
import threading

_M_MMAP_THRESHOLD = -3
_PR_SET_THP_DISABLE = 41
LARGE_BYTES = 65_536
"""From which on a block is one of its own. What is read and passed on is smaller, and would be mapped and unmapped all
the time; only a full run of items is larger, once for all its receivers. With twice as much, the heap of a mixed half
hour grew to three times what was in use of it."""

CHECK_S = 1.0

MIN_BYTES = 4_000_000
"""Free memory that is not worth the trouble. What two hundred TLS clients leave is more."""

PAUSE_CHECKS = 10
"""Checks between two times, and for which it is waited at most while more and more becomes free."""

REGULAR_CHECKS = 60
"""Checks after which it is done in any case, if enough is free: what was free for so long is not needed now."""

_MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


def prepare_for_tls() -> None:
    """Let the read buffers of TLS clients take only the memory that they use; without glibc and Linux nothing happens.

    uvloop gives each of them 256 kB, of which the first page is used. glibc soon takes such blocks from its heap, where
    other things fill the gaps that clients leave, and a client takes nearly twice the memory (decision 0016). Huge
    pages would make it 256 kB per client.

    A gap of that size in the heap is taken all the same, and what was there before stays resident. So nothing large
    may be in the heap that leaves one: see `LARGE_BYTES`, and `net/reading.py`.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    library.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


class HeapInfo(ctypes.Structure):
    """What `mallinfo2` tells: bytes in use (`uordblks`), free (`fordblks`), and in blocks of their own (`hblkhd`)."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO.split()]


class Slack:
    """Decides when free memory is given back: when a crowd has left, and regularly.

    A crowd has left when enough was freed since the last time, and no more is just being. Without crowds there is
    always some free room between what stays, and all of it is touched now and then. One may have come and left before
    the first look.
    """

    def __init__(self) -> None:
        self._least = 0
        self._before = 0
        self._pause = 0
        self._age = 0
        self._patience = PAUSE_CHECKS

    def is_due(self, free_bytes: int) -> bool:
        """Whether now is the time; asked every `CHECK_S`."""
        self._least = min(self._least, free_bytes)
        is_rising = free_bytes - self._before > MIN_BYTES // 4
        self._before = free_bytes
        self._pause -= self._pause > 0
        self._age += 1
        is_regular = self._age >= REGULAR_CHECKS and free_bytes >= MIN_BYTES
        if not is_regular:
            if self._pause or free_bytes - self._least < MIN_BYTES:
                return False
            self._patience -= 1
            if is_rising and self._patience > 0:
                return False
        self._least, self._pause, self._patience, self._age = free_bytes, PAUSE_CHECKS, PAUSE_CHECKS, 0
        return True


class HeapKeeper:
    """Gives back to the system what TLS clients leave free in the heap of the C library, in a thread of its own.

    Of a crowd that has left, glibc keeps nearly all: 22 of 26 kB for each, in gaps between what stays. `malloc_trim`
    gives back every page that is free, which takes 5 ms for a hundred megabytes; meanwhile only somebody who needs a
    new block from that heap has to wait. Without glibc nothing happens.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heap keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        if hasattr(self._library, "mallinfo2"):
            self._library.mallinfo2.restype = HeapInfo
            self._thread.start()

    def stop(self) -> None:
        """Do it no more."""
        self._is_over.set()

    def _watch(self) -> None:
        slack = Slack()
        while not self._is_over.wait(CHECK_S):
            if slack.is_due(self._library.mallinfo2().fordblks):
                self._library.malloc_trim(ctypes.c_size_t(0))
