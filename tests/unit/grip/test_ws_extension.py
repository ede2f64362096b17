from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.grip.ws_extension import MAX_CONTROL_TEXT_BYTES, ControlText, MessageSorter, parse_grip_extension
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY

ANSWERS: list[tuple[str, list[bytes], bytes | None]] = [
    ("no extension", [], None),
    ("grip", [b"grip"], b"m:"),
    ("other extensions", [b"foo", b"bar; grip=1"], None),
    ("behind another", [b"foo, grip; message-prefix=x:"], b"x:"),
    ("on the second line", [b"foo", b"grip"], b"m:"),
    ("upper case", [b"GRIP"], None),
    ("part of a name", [b"grip2, xgrip"], None),
    ("blanks", [b" grip ; message-prefix = x: "], b"x:"),
    ("other parameters", [b"grip; a; b=c"], b"m:"),
    ("name of the parameter ignores case", [b"grip; Message-Prefix=x:"], b"x:"),
    ("quoted", [b'grip; message-prefix="a, b; c"'], b"a, b; c"),
    ("quoted escapes", [b'grip; message-prefix="q\\"z"'], b'q"z'),
    ("quoted and empty", [b'grip; message-prefix=""'], b""),
    ("no equals sign", [b"grip; message-prefix"], b""),
    ("empty before another parameter", [b"grip; message-prefix=; a=b"], b""),
    ("equals sign at the end", [b"grip; message-prefix="], None),
    ("equals sign at the end of another parameter", [b"grip; a="], None),
    ("equals sign and blanks at the end", [b"grip; message-prefix= "], None),
    ("equals sign as the end of a value", [b"grip; message-prefix=x="], b"x="),
    ("unclosed quote", [b'grip; message-prefix="x:'], None),
    ("unclosed quote takes the rest", [b'grip; message-prefix="x:, grip'], None),
    ("an invalid one does not spoil another", [b"grip; a=", b"grip; message-prefix=y:"], b"y:"),
    ("the first counts", [b"grip; message-prefix=x:, grip"], b"x:"),
]


@pytest.mark.spec("ws-49")
@pytest.mark.parametrize(("values", "prefix"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_answers(values: list[bytes], prefix: bytes | None) -> None:
    """ws spec §2.2."""
    assert parse_grip_extension(values) == prefix


def message(opcode: Opcode, *fragments: bytes) -> list[Data]:
    last = len(fragments) - 1
    return [Data(opcode, part, index == 0, index == last, last > 0) for index, part in enumerate(fragments)]


def pieces(opcode: Opcode, *parts: bytes) -> list[Data]:
    """One frame in pieces."""
    last = len(parts) - 1
    return [Data(opcode, part, index == 0, index == last, False) for index, part in enumerate(parts)]


def sort(prefix: bytes, data: list[Data]) -> list[Data | ControlText]:
    sorter = MessageSorter(prefix)
    return [result for piece in data if (result := sorter.sort(piece)) is not None]


SORTED = [
    pytest.param(b"m:", message(TEXT, b"m:x"), message(TEXT, b"x"), marks=pytest.mark.spec("ws-47"), id="text"),
    pytest.param(b"m:", message(BINARY, b"m:\0"), message(BINARY, b"\0"), marks=pytest.mark.spec("ws-47"), id="binary"),
    pytest.param(b"m:", message(TEXT, b"x"), [], marks=pytest.mark.spec("ws-47"), id="without prefix"),
    pytest.param(b"m:", message(TEXT, b"m:"), message(TEXT, b""), id="only the prefix"),
    pytest.param(b"m:", message(TEXT, b"m"), [], id="half the prefix"),
    pytest.param(b"m:", message(TEXT, b""), [], id="empty"),
    pytest.param(b"m:", message(TEXT, b"c:{}"), [ControlText(b"{}")], id="control message"),
    pytest.param(b"m:", message(TEXT, b"c:"), [ControlText(b"")], id="empty control message"),
    pytest.param(b"m:", pieces(TEXT, b"c:{", b"", b"}"), [ControlText(b"{}")], id="long control message"),
    pytest.param(b"m:", message(TEXT, b"c"), [], id="half of c:"),
    pytest.param(b"m:", message(BINARY, b"c:{}"), [], marks=pytest.mark.spec("ws-50"), id="binary is no control"),
    pytest.param(b"m:", message(TEXT, b"c:{", b"}"), [], marks=pytest.mark.spec("ws-50"), id="fragmented control"),
    pytest.param(b"m:", message(TEXT, b"c", b":{}"), [], marks=pytest.mark.spec("ws-50"), id="fragmented within c:"),
    pytest.param(b"m:", message(TEXT, b"drop", b"ped"), [], marks=pytest.mark.spec("ws-51"), id="dropped fragments"),
    pytest.param(
        b"x:",
        message(TEXT, b"m:a") + message(TEXT, b"x:b"),
        message(TEXT, b"b"),
        marks=pytest.mark.spec("ws-48"),
        id="another prefix",
    ),
    pytest.param(
        b"",
        message(TEXT, b"m:a") + message(BINARY, b"c:") + message(TEXT, b"") + message(TEXT, b"c:{}"),
        [*message(TEXT, b"m:a"), *message(BINARY, b"c:"), *message(TEXT, b""), ControlText(b"{}")],
        marks=pytest.mark.spec("ws-48"),
        id="empty prefix lets all but control messages pass",
    ),
    pytest.param(b"", message(TEXT, b"c"), message(TEXT, b"c"), id="empty prefix, half of c:"),
    pytest.param(b"", message(TEXT, b"c", b"x"), [Data(TEXT, b"cx", True, True, True)], id="empty prefix, c but no c:"),
    pytest.param(b"", message(TEXT, b"c:", b"x"), [], id="empty prefix, fragmented control"),
    pytest.param(b"c:", message(TEXT, b"c:{}"), [ControlText(b"{}")], id="control comes before the prefix"),
    pytest.param(b"c:", message(BINARY, b"c:x"), message(BINARY, b"x"), id="but not in binary"),
    pytest.param(
        b"cc", message(TEXT, b"c", b"ca"), [Data(TEXT, b"a", True, True, True)], id="prefix that begins as c:"
    ),
    pytest.param(
        b"m:",
        message(TEXT, b"m:a", b"", b"m:b", b"c"),
        message(TEXT, b"a", b"", b"m:b", b"c"),
        id="later fragments pass as they are",
    ),
    pytest.param(
        b"long:",
        message(TEXT, b"lo", b"", b"ng", b":a", b"b"),
        [Data(TEXT, b"a", True, False, True), Data(TEXT, b"b", False, True, True)],
        id="prefix across fragments",
    ),
    pytest.param(
        b"m:",
        message(BINARY, b"m", b":"),
        [Data(BINARY, b"", True, True, True)],
        id="message that becomes empty",
    ),
    pytest.param(b"m:", message(TEXT, b"m", b"") + message(TEXT, b":a"), [], id="each message on its own"),
]


@pytest.mark.parametrize(("prefix", "data", "results"), SORTED)
def test_messages(prefix: bytes, data: list[Data], results: list[Data | ControlText]) -> None:
    """ws spec §2.3."""
    assert sort(prefix, data) == results


def test_longest_control_message() -> None:
    text = b"x" * MAX_CONTROL_TEXT_BYTES
    assert sort(b"m:", pieces(TEXT, b"c:", text)) == [ControlText(text)]
    assert sort(b"m:", pieces(TEXT, b"c:", text, b"x", b"y")) == []
    assert sort(b"m:", pieces(TEXT, b"c:" + text + b"x") + message(TEXT, b"m:a")) == message(TEXT, b"a")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("begin", [b"drop", b"m:relay", b"c:", b"mx"])
def test_a_long_message_is_not_kept(opcode: Opcode, begin: bytes) -> None:
    sorter = MessageSorter(b"m:")
    for data in message(opcode, begin, *[b"x" * 1000] * 300)[:-1]:
        sorter.sort(data)
        assert sorter._head == b""


@given(
    st.sampled_from([b"m:", b"", b"c:", b"cc:", b"mm"]),
    st.sampled_from([TEXT, BINARY]),
    st.lists(st.sampled_from([b"m", b"c", b":", b"", b"x"]), min_size=1, max_size=6),
    st.lists(st.integers(0, 6), max_size=4),
)
def test_cutting_decides_nothing(prefix: bytes, opcode: Opcode, parts: list[bytes], places: list[int]) -> None:
    """However a message is cut, all of it has the fate that its whole content has."""
    content = b"".join(parts)
    edges = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    cut = [content[begin:end] for begin, end in itertools.pairwise(edges)]
    in_pieces = sort(prefix, pieces(opcode, *cut))
    if opcode is TEXT and content.startswith(b"c:"):
        assert in_pieces == [ControlText(content[2:])]
        assert sort(prefix, message(opcode, content[:1], content[1:])) == []
    elif content.startswith(prefix):
        relayed = [result for result in in_pieces if isinstance(result, Data)]
        assert b"".join(data.payload for data in relayed) == content[len(prefix) :]
        assert [data.is_first for data in relayed] == [True] + [False] * (len(relayed) - 1)
        assert [data.is_last for data in relayed] == [False] * (len(relayed) - 1) + [True]
    else:
        assert in_pieces == []
