"""Answers of our own: what the client may read, and that they can be raised anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from holdfast.proxy.answers import ORIGIN_ERROR, ROUTE_NOT_FOUND, ErrorAnswer, origin_error


@pytest.mark.parametrize(
    ("answer", "plain", "debug"),
    [
        (ErrorAnswer(502, ROUTE_NOT_FOUND), b"Route not found\n", b"Route not found\n"),
        (ErrorAnswer(502, ORIGIN_ERROR, "Why: ü"), b"Error while proxying to origin.\n", "Why: ü\n".encode()),
        (ErrorAnswer(502, ORIGIN_ERROR, ""), b"Error while proxying to origin.\n", b"\n"),
    ],
    ids=["same in both", "more in debug mode", "nothing in debug mode"],
)
def test_body(answer: ErrorAnswer, plain: bytes, debug: bytes) -> None:
    """grip-8"""
    assert answer.body(is_debug=False) == plain
    assert answer.body(is_debug=True) == debug


@pytest.mark.parametrize(("code", "reason"), [(400, b"Bad Request"), (502, b"Bad Gateway"), (999, b"Undefined Reason")])
def test_reason(code: int, reason: bytes) -> None:
    assert ErrorAnswer(code, "x").reason == reason


@pytest.mark.parametrize("debug_text", [None, "Why"])
def test_origin_error(debug_text: str | None) -> None:
    answer = origin_error(debug_text)
    assert (answer.code, answer.text, answer.debug_text) == (502, "Error while proxying to origin.", debug_text)


def test_passes_through_a_context_manager() -> None:
    """Context managers made from generators set the traceback, which a frozen exception cannot take."""

    @contextlib.contextmanager
    def nothing() -> Iterator[None]:
        yield

    with pytest.raises(ErrorAnswer, match="Route not found"), nothing():
        raise ErrorAnswer(502, ROUTE_NOT_FOUND)
