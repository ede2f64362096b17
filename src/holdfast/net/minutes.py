"""Connection minutes: each connection counts one when it starts and one more per further full minute (grip spec §15.7).

No timer and no clock per connection: those that started in the same second of a minute are counted together, because
their minutes begin together. A connection only remembers that second. Whoever asks brings the total up to date.
"""

from __future__ import annotations

MINUTE_S = 60


class MinuteMeter:
    """The minutes of many connections, to a second. Times are monotonic, in seconds."""

    __slots__ = ("_open", "_second", "_started_in", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._second = 0
        self._started_in = [0] * MINUTE_S
        self._open = 0

    def start(self, now_s: float) -> int:
        """A connection starts; returns what `end` must be given."""
        self._advance(now_s)
        second = self._second % MINUTE_S
        self._started_in[second] += 1
        self._open += 1
        self._total += 1
        return second

    def end(self, now_s: float, started: int) -> None:
        """A connection has ended."""
        self._advance(now_s)
        self._started_in[started] -= 1
        self._open -= 1

    def read(self, now_s: float) -> int:
        """All minutes until now."""
        self._advance(now_s)
        return self._total

    def _advance(self, now_s: float) -> None:
        if int(now_s) == self._second:
            return
        minutes, seconds = divmod(int(now_s) - self._second, MINUTE_S)
        self._total += minutes * self._open
        for second in range(self._second + 1, self._second + 1 + seconds):
            self._total += self._started_in[second % MINUTE_S]
        self._second = int(now_s)
