"""Any text of a backend's `c:` message: an order within the bounds of the protocol, or GripError.

Whether a message is such an order does not depend on how it was cut.
"""

from __future__ import annotations

from hypothesis import strategies as st
from tests.fuzz.mutations import PLACES, cut, mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import GripError
from holdfast.grip.item import MessageKind
from holdfast.grip.ws_control import SendDelayed, SetKeepAlive, SetMeta, Subscribe, Unsubscribe, parse_control
from holdfast.grip.ws_extension import ControlText, MessageSorter, parse_grip_extension
from holdfast.wire.params import MAX_INT
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

CONTROLS = [
    b'{"type":"subscribe","channel":"a","filters":["skip-self"]}',
    b'{"type":"unsubscribe","channel":"a"}',
    b'{"type":"keep-alive","content":"x","timeout":30,"mode":"interval","message-type":"ping"}',
    b'{"type":"send-delayed","content-bin":"AAEC","timeout":"5","message-type":"binary"}',
    b'{"type":"set-meta","name":"user","value":"x"}',
    b'{"type":"session","id":"s"}',
    b'{"type":"detach"}',
    b'{"type":"flush-delayed"}',
]
TOKENS = [
    b"null", b"true", b"1e400", b"-1", b"0.5", b"2147483647.5", b"1e308", b"NaN", b'"\\r\\n"', b'"\\ud800"', b"[]",
    b"{}", b'""', b'"timeout":', b'"type":"set-meta",', b"x" * 126,
]  # fmt: skip


@fuzz(mutated(CONTROLS, TOKENS), examples=300)
def test_any_control_message(text: bytes) -> None:
    try:
        control = parse_control(text)
    except GripError as exc:
        str(exc).encode()
        return
    if isinstance(control, Subscribe | Unsubscribe):
        assert control.channel
    if isinstance(control, SetMeta):
        assert control.name
    if isinstance(control, SetKeepAlive | SendDelayed):
        assert 1 <= control.timeout_s <= MAX_INT
        message = control.message
        assert (
            message is None or message.kind not in (MessageKind.PING, MessageKind.PONG) or len(message.content) <= 125
        )
    repr(control).encode()


MESSAGES = mutated([b"c:" + CONTROLS[0], b"m:hello", b"hello", b"c:", b"m", b"c", b""], [b"c:", b"m:", b":"])


@fuzz(MESSAGES, PLACES, st.sampled_from([b"m:", b"", b"c:", b"c", b"mmm:"]), st.booleans(), st.booleans())
def test_any_cutting_gives_the_same_fate(
    message: bytes, places: list[int], prefix: bytes, is_text: bool, is_fragmented: bool
) -> None:
    opcode = Opcode.TEXT if is_text else Opcode.BINARY
    sorter = MessageSorter(prefix)
    outcomes = [fate(sorter, opcode, pieces, is_fragmented) for pieces in ([message], cut(message, places) or [b""])]
    assert outcomes[0] == outcomes[1]
    if is_text and not is_fragmented and message.startswith(b"c:"):
        assert outcomes[0] == ControlText(message[2:])
    elif is_text and message.startswith(b"c:"):
        assert outcomes[0] is None
    else:
        assert outcomes[0] == (message[len(prefix) :] if message.startswith(prefix) else None)


def fate(sorter: MessageSorter, opcode: Opcode, pieces: list[bytes], is_fragmented: bool) -> object:
    """The control text, or what is relayed; None if the message is dropped."""
    relayed: list[bytes] = []
    for number, piece in enumerate(pieces):
        data = Data(opcode, piece, number == 0, number == len(pieces) - 1, is_fragmented)
        sorted_data = sorter.sort(data)
        if isinstance(sorted_data, ControlText):
            assert not relayed
            return sorted_data
        if sorted_data is not None:
            assert sorted_data.is_first is not bool(relayed)
            relayed.append(sorted_data.payload)
    return b"".join(relayed) if relayed else None


EXTENSIONS = mutated(
    [
        b"grip",
        b'grip; message-prefix="x"',
        b"permessage-deflate, grip; message-prefix=",
        b"grip; a=b; message-prefix=m:",
    ],
    [b"grip", b";", b",", b"=", b'"', b"message-prefix", b" "],
)


@fuzz(st.lists(EXTENSIONS, max_size=3))
def test_any_extension(lines: list[bytes]) -> None:
    prefix = parse_grip_extension(lines)
    assert prefix is None or prefix == b"m:" or len(prefix) <= max(map(len, lines))
    assert prefix is None or any(b"grip" in line for line in lines)
