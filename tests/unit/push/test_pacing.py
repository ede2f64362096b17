"""Pacing by the numbers of grip spec §13.2, on a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.push.pacing import Pacer


class Clock:
    """Milliseconds since the start, and what was delivered when."""

    def __init__(self, *, rate: int | None = None, hwm: int | None = None, block_size: int | None = None) -> None:
        self.now_ms = 0
        self.delivered: list[tuple[int, str]] = []
        self._calls: list[tuple[int, Callable[[], None]]] = []
        self.pacer = Pacer(rate=rate, hwm=hwm, block_size=block_size, call_later=self._call_later)

    def submit(self, name: str, key: str = "", size: int = 1, *, is_there: bool = True) -> bool:
        def deliver() -> bool:
            if is_there:
                self.delivered.append((self.now_ms, name))
            return is_there

        return self.pacer.submit(key, size, deliver)

    def submit_all(self, names: str, key: str = "", size: int = 1) -> None:
        for name in names:
            assert self.submit(name, key, size)

    def run_until(self, end_ms: int) -> None:
        while self._calls and min(self._calls, key=_at_ms)[0] <= end_ms:
            call = min(self._calls, key=_at_ms)
            self._calls.remove(call)
            self.now_ms = call[0]
            call[1]()
        self.now_ms = end_ms

    @property
    def is_idle(self) -> bool:
        return not self._calls

    @property
    def names(self) -> str:
        return "".join(name for _, name in self.delivered)

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._calls.append((self.now_ms + round(delay_s * 1000), callback))


def _at_ms(call: tuple[int, Callable[[], None]]) -> int:
    return call[0]


class TestRate:
    @pytest.mark.parametrize(
        ("rate", "batch"),
        [(40, 1), (41, 2), (80, 2), (100, 3), (120, 3), (280, 7), (560, 14), (1000, 25), (2500, 63), (10_000, 250)],
    )
    def test_batches_every_25_ms(self, rate: int, batch: int) -> None:
        """grip spec §13.2: ceil(R * 25 / 1000), the first at once."""
        clock = Clock(rate=rate)
        for _ in range(3 * batch):
            clock.submit("x")
        clock.run_until(1000)
        assert Counter(at_ms for at_ms, _ in clock.delivered) == {0: batch, 25: batch, 50: batch}

    @pytest.mark.parametrize(("rate", "interval_ms"), [(39, 25), (30, 33), (5, 200), (3, 333), (1, 1000)])
    def test_low_rates_one_by_one(self, rate: int, interval_ms: int) -> None:
        """grip-97: with a rate of 5, ten deliveries take 1.8 s."""
        clock = Clock(rate=rate)
        clock.submit_all("0123456789")
        clock.run_until(20_000)
        assert clock.delivered == [(number * interval_ms, str(number)) for number in range(10)]

    def test_a_thousand_at_the_usual_rate(self) -> None:
        """grip spec §13.2"""
        clock = Clock(rate=2500)
        for _ in range(1000):
            clock.submit("x")
        clock.run_until(1000)
        assert clock.delivered[-1][0] == 375

    def test_no_rate(self) -> None:
        clock = Clock(hwm=100)
        clock.submit_all("0123456789")
        clock.run_until(0)
        assert clock.names == "0123456789"
        assert clock.is_idle

    def test_one_by_one_is_not_faster_than_all_at_once(self) -> None:
        """A queue that is empty between two publishes is not yet idle: the rate holds."""
        clock = Clock(rate=5)
        for at_ms in range(0, 500, 50):
            clock.run_until(at_ms)
            clock.submit("x")
        clock.run_until(1000)
        assert [at_ms for at_ms, _ in clock.delivered] == [0, 200, 400, 600, 800, 1000]

    def test_after_idleness_the_first_leaves_at_once(self) -> None:
        clock = Clock(rate=5)
        clock.submit("a")
        clock.run_until(1234)
        assert clock.is_idle
        clock.submit("b")
        clock.run_until(2000)
        assert clock.delivered == [(0, "a"), (1234, "b")]


class TestKeys:
    def test_round_robin(self) -> None:
        clock = Clock(rate=5)
        clock.submit_all("abcd", "one")
        clock.submit_all("AB", "two")
        clock.submit_all("1", "three")
        clock.run_until(5000)
        assert clock.names == "aA1bBcd"

    @given(st.lists(st.sampled_from("xyz"), max_size=40), st.integers(1, 200))
    def test_order_within_a_key_and_nothing_lost(self, keys: list[str], rate: int) -> None:
        clock = Clock(rate=rate)
        for number, key in enumerate(keys):
            clock.submit(f"{key}{number}", key)
        clock.run_until(60_000)
        for key in "xyz":
            expected = [f"{key}{number}" for number, of in enumerate(keys) if of == key]
            assert [name for _, name in clock.delivered if name[0] == key] == expected
        assert clock.pacer.waiting == 0
        assert clock.is_idle

    def test_receivers_that_left_cost_nothing(self) -> None:
        """grip spec §13.5"""
        clock = Clock(rate=5)
        clock.submit("a")
        for _ in range(10):
            clock.submit("gone", is_there=False)
        clock.submit("b")
        clock.run_until(5000)
        assert clock.delivered == [(0, "a"), (200, "b")]


WEIGHTS = [(0, 1), (1, 1), (10, 1), (11, 2), (30, 3), (35, 4)]


class TestBlocks:
    @pytest.mark.parametrize(("size", "units"), WEIGHTS)
    def test_weight(self, size: int, units: int) -> None:
        """grip spec §13.3"""
        clock = Clock(rate=5, block_size=10)
        clock.submit("x", size=size)
        assert clock.pacer.waiting == units

    def test_a_heavy_delivery_delays_the_next(self) -> None:
        """grip-99"""
        clock = Clock(rate=5, block_size=10)
        clock.submit("a", size=30)
        clock.submit("b")
        clock.run_until(5000)
        assert clock.delivered == [(0, "a"), (600, "b")]

    def test_only_those_of_its_own_key(self) -> None:
        clock = Clock(rate=5, block_size=10)
        clock.submit("a", "one", 20)
        clock.submit_all("bc", "two")
        clock.submit("d", "one")
        clock.run_until(5000)
        assert clock.names == "abcd"

    def test_the_debt_of_a_key_outlives_its_queue(self) -> None:
        """Also when something that does not fit is refused meanwhile."""
        clock = Clock(rate=5, hwm=3, block_size=10)
        clock.submit("a", size=30)
        clock.run_until(100)
        assert not clock.submit("refused", size=40)
        clock.submit("b")
        clock.run_until(5000)
        assert clock.delivered == [(0, "a"), (600, "b")]

    def test_a_heavy_delivery_to_nobody_costs_nothing(self) -> None:
        clock = Clock(rate=5, block_size=10)
        clock.submit("gone", size=30, is_there=False)
        clock.submit("b")
        clock.run_until(5000)
        assert clock.delivered == [(0, "b")]


class TestHwm:
    def test_what_does_not_fit_is_refused(self) -> None:
        """grip-98"""
        clock = Clock(rate=5, hwm=10)
        assert [clock.submit(str(number)) for number in range(20)] == [True] * 10 + [False] * 10
        assert clock.pacer.waiting == 10
        clock.run_until(10_000)
        assert clock.names == "0123456789"

    def test_is_per_key(self) -> None:
        clock = Clock(rate=5, hwm=1)
        assert clock.submit("a", "one")
        assert not clock.submit("b", "one")
        assert clock.submit("c", "two")

    def test_counts_units(self) -> None:
        clock = Clock(rate=5, hwm=4, block_size=10)
        assert clock.submit("a", size=30)
        assert not clock.submit("b", size=20)
        assert clock.submit("c")

    def test_room_comes_back(self) -> None:
        clock = Clock(rate=5, hwm=1)
        assert clock.submit("a")
        clock.run_until(0)
        assert clock.submit("b")

    def test_what_never_fits_leaves_nothing_behind(self) -> None:
        clock = Clock(rate=5, hwm=1, block_size=10)
        assert not clock.submit("a", size=20)
        assert clock.pacer.waiting == 0
        assert clock.is_idle
