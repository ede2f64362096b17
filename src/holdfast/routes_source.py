"""Where the routes come from: a watched file, or lines of the command line (routes spec §1.1, §1.10)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from holdfast.routing.parse import RouteDefaults, RouteProblem, parse_route_lines, parse_routes
from holdfast.routing.table import RouteTable

log = logging.getLogger("holdfast.routing")

RELOAD_DELAY_S = 1.0
"""Between the first change seen and the reading, so that a file that is being written is read once and whole."""

SETTLED_S = 0.1
"""Since when a file must be unchanged to be read. Whoever writes it in place empties it first."""

MAX_WAITS = 20
"""For that; one that is written all the time is read as it is then."""


class RoutesSource:
    """Reads the routes, and again whenever they change.

    Args:
        path: the routes file; not used when there are lines.
        lines: from `--route`; they replace the file completely. None to read the file.
        apply: puts a new table in force.
    """

    def __init__(
        self, path: Path, lines: tuple[str, ...] | None, defaults: RouteDefaults, apply: Callable[[RouteTable], None]
    ) -> None:
        self._path = path
        self._lines = lines
        self._defaults = defaults
        self._apply = apply

    def load(self) -> None:
        """Read and apply; a file that cannot be read leaves the table in force."""
        if self._lines is not None:
            table, problems = parse_route_lines(self._lines, self._defaults)
        else:
            try:
                text = self._path.read_text(encoding="utf-8", errors="surrogateescape")
            except OSError:
                log.warning("unable to open routes file: %s", self._path)
                return
            table, problems = parse_routes(text, str(self._path), self._defaults)
        _report(problems)
        log.info("routes loaded with %d entries", len(table))
        self._apply(table)

    async def reload(self) -> None:
        """As `load`, but a file that is being written is not read before it is whole: there would be no routes."""
        for _ in range(MAX_WAITS):
            rest_s = self._unsettled_s()
            if not rest_s:
                break
            await asyncio.sleep(rest_s)
        self.load()

    async def watch(self) -> None:
        """Reload whenever the file changes, until cancelled. The directory is watched, so renames are noticed."""
        if self._lines is not None:
            return
        path = self._path.absolute()
        if not path.parent.is_dir():
            log.warning("routes directory %s does not exist, changes will not be noticed", path.parent)
            return
        async for _ in awatch(path.parent, watch_filter=lambda _, name: name == str(path), recursive=False):
            log.info("routes file changed, reloading")
            await asyncio.sleep(RELOAD_DELAY_S)
            await self.reload()

    def _unsettled_s(self) -> float:
        """For how long the file should be left alone yet; an empty one may have been emptied only to be written."""
        if self._lines is not None:
            return 0.0
        try:
            status = self._path.stat()
        except OSError:
            return 0.0
        needed_s = SETTLED_S if status.st_size else RELOAD_DELAY_S
        age_s = time.time() - status.st_mtime
        return needed_s - age_s if 0 <= age_s < needed_s else 0.0


def _report(problems: list[RouteProblem]) -> None:
    for problem in problems:
        log.warning("%s", problem)
