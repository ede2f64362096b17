"""The process around the server: signals, log files, limits of the system, exit code.

There is one worker, in this process. Several would be started and restarted from here.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

import uvloop

from holdfast import descriptors
from holdfast.config.limits import RESERVED_FILES
from holdfast.config.load import Start
from holdfast.errors import ConfigError
from holdfast.garbage import GarbageWatch
from holdfast.logs import LogSink, RequestLog, configure_logging
from holdfast.memory import HeapKeeper, prepare_for_tls
from holdfast.net.notify import ServiceManager
from holdfast.server import Server

log = logging.getLogger("holdfast.supervisor")


def serve(start: Start) -> int:
    """Run until told to stop.

    Returns:
        The exit code: 0 when stopped by SIGTERM or SIGINT, 1 when it could not start (routes spec §2.7).
    """
    settings = start.loaded.settings
    levels = settings.runner.log_level
    try:
        sink = configure_logging(
            levels.level, settings.holdfast.log_format, start.log_file, components=levels.components
        )
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 1
    sys.unraisablehook = _log_unraisable
    if settings.runner.https_ports:
        prepare_for_tls()
    max_files = descriptors.raise_limit()
    # A client that is relayed to a WebSocket server has two.
    descriptors.make_room(min(2 * settings.runner.client_maxconn + RESERVED_FILES, max_files))
    try:
        return uvloop.run(_run(start, sink, max_files))
    except ConfigError as exc:
        for line in str(exc).splitlines():
            log.error("%s", line)
        return 1
    finally:
        sink.flush()


async def _run(start: Start, sink: LogSink, max_files: int) -> int:
    loop = asyncio.get_running_loop()
    for note in start.loaded.notes:
        log.log(note.level, "%s", note.text)
    settings = start.loaded.settings
    request_log = RequestLog(
        sink,
        log_format=settings.holdfast.log_format,
        log_from=settings.proxy.log_from,
        log_user_agent=settings.proxy.log_user_agent,
    )
    garbage = GarbageWatch()
    server = Server(start, loop, request_log, max_files, garbage)
    stop = asyncio.Event()
    _handle_termination(loop, stop)  # before the first client is there: from then on it ends in good order
    await server.start()
    sink.on_first_line = partial(_flush_soon, loop, sink)
    sink.limiter.on_suppressed = partial(loop.call_later, 1.0, sink.limiter.tell)
    manager = ServiceManager(start.notify_socket)
    _handle_hangup(loop, server, sink, manager)
    garbage.settle()
    keeper = HeapKeeper()
    if settings.runner.https_ports:
        keeper.start()
    log.info("started")
    manager.ready()
    await stop.wait()
    log.info("stopping...")
    manager.stopping(settings.holdfast.stop_timeout)
    await server.stop()
    keeper.stop()
    garbage.stop()
    return 0


def _flush_soon(loop: asyncio.AbstractEventLoop, sink: LogSink) -> None:
    """Write the log lines of one turn of the loop together, in one call."""
    loop.call_soon(sink.flush)


def _handle_termination(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The first signal stops in good order, the second one at once (routes spec §2.8)."""

    def terminate() -> None:
        if stop.is_set():
            raise SystemExit(0)
        stop.set()

    _handle(loop, signal.SIGTERM, terminate)
    _handle(loop, signal.SIGINT, terminate)


def _handle_hangup(loop: asyncio.AbstractEventLoop, server: Server, sink: LogSink, manager: ServiceManager) -> None:
    """SIGHUP opens the log again and reads the routes (routes spec §2.8)."""

    def reload() -> None:
        log.info("reloading")
        manager.reloading(time.monotonic_ns() // 1000)
        if (failure := sink.reopen()) is not None:
            log.error("%s", failure)
        server.reload(manager.ready)

    _handle(loop, signal.SIGHUP, reload)


def _handle(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Callable[[], None]) -> None:
    """A signal that was ignored when the process started stays ignored, as `nohup` wants it."""
    if signal.getsignal(number) is not signal.SIG_IGN:
        loop.add_signal_handler(number, handler)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """One line instead of a traceback for what happens where nobody can catch it."""
    # A TLS client may name a host in any bytes; the ssl module decodes them before our code is asked.
    level = logging.DEBUG if isinstance(unraisable.exc_value, UnicodeDecodeError) else logging.ERROR
    log.log(level, "ignored in %r: %r", unraisable.object, unraisable.exc_value)
