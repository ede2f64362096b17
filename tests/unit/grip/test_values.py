from __future__ import annotations

import pytest

from holdfast.errors import GripError
from holdfast.grip.values import KeepAlive, KeepAliveMode, NextLink, Subscription, is_wire_safe


@pytest.mark.parametrize("text", ["", "a", "a b", "\t", "é", "\x7f", "\u2028"])
def test_text_that_stays_on_its_line(text: str) -> None:
    assert is_wire_safe(text)


@pytest.mark.parametrize("text", ["\r", "a\nb", "a\0", "é\r\n"])
def test_text_that_breaks_a_line(text: str) -> None:
    assert not is_wire_safe(text)


def test_equal_values_are_one_key() -> None:
    assert len({Subscription("c", "1", ("skip-self",)), Subscription("c", "1", ("skip-self",))}) == 1
    assert len({KeepAlive(b"\n", 20, KeepAliveMode.IDLE), KeepAlive(b"\n", 20, KeepAliveMode.IDLE)}) == 1
    assert len({NextLink("/x", 5), NextLink("/x", 5)}) == 1


def test_five_filters_are_allowed_and_six_are_not() -> None:
    """grip-16"""
    assert Subscription("c", None, ("x",) * 5).filters == ("x",) * 5
    with pytest.raises(GripError) as caught:
        Subscription("c", None, ("x",) * 6)
    assert str(caught.value) == "too many filters for channel 'c'"


@pytest.mark.parametrize("breaker", ["\r", "\n", "\0"])
def test_subscriptions_fit_a_header_line(breaker: str) -> None:
    with pytest.raises(GripError, match=r"^channel contains 'name' with invalid value$"):
        Subscription(f"a{breaker}b")
    with pytest.raises(GripError, match=r"^channel contains 'prev-id' with invalid value$"):
        Subscription("a", f"1{breaker}")
