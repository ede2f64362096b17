"""Holdfast in one process with what only the inside can tell: how much memory is in use, and which tasks wait.

Run as ``python -m benchmarks.soak.watched FILE ARGUMENTS``, with the arguments of ``holdfast``. A thread writes down
what the C library's heap has in use and free, where all of TLS is, and how many of Python's own blocks are in use,
where small objects are. After SIGUSR2 the tasks are in ``FILE.tasks``, and where each of them waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from holdfast.cli import main
from holdfast.memory import HeapInfo
from holdfast.net.runtime import Runtime

EVERY_S = 1.0


def _watch(file: Path) -> None:
    """Write three numbers: kB in use, blocks of their own included, and free, 0 where nobody knows; Python's blocks."""
    library = ctypes.CDLL(None)
    ask: Any = getattr(library, "mallinfo2", HeapInfo)
    ask.restype = HeapInfo
    fresh = file.with_suffix(".new")
    while True:
        heap = ask()
        used_kb, free_kb = (heap.uordblks + heap.hblkhd) // 1000, heap.fordblks // 1000
        fresh.write_text(f"{used_kb} {free_kb} {sys.getallocatedblocks()}")
        fresh.replace(file)
        time.sleep(EVERY_S)


def _tell_tasks(file: Path) -> None:
    """Write a line for each task, and for each piece of work that has none."""
    lines = [_describe(task) for task in asyncio.all_tasks()]
    runtimes = [each for each in gc.get_objects() if isinstance(each, Runtime)]
    lines += [repr(work) for runtime in runtimes for work in runtime.callbacks]
    fresh = file.with_suffix(".new")
    fresh.write_text("".join(f"{line}\n" for line in lines))
    fresh.replace(file)


def _describe(task: asyncio.Task[Any]) -> str:
    """Its name, and the functions that wait for one another, with the lines where they do."""
    places = []
    waiting: Any = task.get_coro()
    while waiting is not None and getattr(waiting, "cr_frame", None) is not None:
        places.append(f"{waiting.__qualname__}:{waiting.cr_frame.f_lineno}")
        waiting = waiting.cr_await
    return f"{task.get_name()}: {' > '.join(places)} > {waiting!r}"


if __name__ == "__main__":
    memory_file = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR2, lambda *_: _tell_tasks(memory_file.with_suffix(".tasks")))
    threading.Thread(target=_watch, args=[memory_file], daemon=True).start()
    sys.exit(main())
