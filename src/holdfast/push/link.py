"""Next links: where a stream goes on, and when it is time to look there (grip spec §6.5, §6.8)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

MAX_FAILURES = 6
"""Answers in a row that fail; the last of them ends the stream (grip spec §6.7)."""

MAX_HOPS = 100
"""Answers in a row that have no hold and only point on. Pushpin follows them without end."""


@dataclass(slots=True, eq=False)
class Link:
    """The next link of one stream.

    Args:
        target: what is asked, known to whoever asks it; equal ones ask the same thing.
        timeout_s: seconds without activity after which it is asked, >= 0.
        hops: answers in a row, up to the one that brought this link, that had no hold.

    Attributes:
        failures: times in a row that asking it has failed.
    """

    target: Hashable
    timeout_s: int
    hops: int = 0
    failures: int = 0


class LinkClock:
    """Gives streams that have the same quiet link the same times, so that they ask together and share one answer.

    The first stream of a group sets the clock; whoever joins it is early, never late (grip spec §6.8).
    """

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[tuple[Hashable, int], list[float]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def join(self, link: Link, now_s: float) -> float:
        """When a stream that is quiet since `now_s` is to ask its link. `leave` must follow."""
        key = (link.target, link.timeout_s)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = [0, now_s]
        group[0] += 1
        if not link.timeout_s:
            return now_s
        rounds = (now_s - group[1]) // link.timeout_s + 1
        return group[1] + rounds * link.timeout_s

    def leave(self, link: Link) -> None:
        """The stream asks its link, or has ended."""
        key = (link.target, link.timeout_s)
        group = self._groups[key]
        group[0] -= 1
        if not group[0]:
            del self._groups[key]
