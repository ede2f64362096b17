from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.grip.template import (
    MAX_ARGUMENT_BYTES,
    MAX_RENDERED_BYTES,
    TemplateError,
    TemplateRenderer,
    render_template,
    substitute,
)

VARIABLES: dict[str, str | None] = {"user": "bob", "a)b": "paren", "é": "ü", "": "empty", "none": None, "%": "percent"}

RENDERED = [
    (b"", b""),
    (b"plain", b"plain"),
    (b"100%%", b"100%"),
    (b"%%%%", b"%%"),
    (b"hello %(user)s!", b"hello bob!"),
    (b"%(user)s%(user)s", b"bobbob"),
    (b"%(a\\)b)s", b"paren"),
    (b"%(u\\ser)s", b"bob"),
    (b"%()s", b"empty"),
    (b"%(%)s", b"percent"),
    ("%(é)s".encode(), "ü".encode()),
    (b"%(ignored)%", b"%"),
    (b"\xff\x00%(user)s", b"\xff\x00bob"),
]


@pytest.mark.parametrize(("template", "expected"), RENDERED)
def test_substitute(template: bytes, expected: bytes) -> None:
    assert substitute(template, VARIABLES) == expected


ERRORS = [
    (b"ab%(no)s", "No such variable 'no' at position 7"),
    (b"%(none)s", "No such variable 'none' at position 7"),
    (b"a %d", "Unknown directive 'd' at position 3"),
    (b"a %(user)d", "Unknown directive 'd' at position 9"),
    (b"50%!", "Unknown directive '!' at position 3"),
    (b"%\xff", "Unknown directive '\ufffd' at position 1"),
    ("é%d".encode(), "Unknown directive 'd' at position 3"),
    (b"a %s", "Directive 's' requires argument at position 3"),
    (b"a%", "Expected directive after '%' at position 1"),
    (b"%%%", "Expected directive after '%' at position 2"),
    (b"a%(", "Expected character after '(' at position 2"),
    (b"a%(b\\", "Expected character after '\\' at position 4"),
    (b"a%(\\", "Expected character after '\\' at position 3"),
    (b"a%(bc", "Unterminated field starting at position 2"),
    (b"a%(b\\)", "Unterminated field starting at position 2"),
    (b"a%(bc)", "Expected directive after ')' at position 5"),
    (b"a%()", "Expected directive after ')' at position 3"),
    (b"%(no)s %(", "No such variable 'no' at position 5"),
]


@pytest.mark.parametrize(("template", "text"), ERRORS)
def test_errors(template: bytes, text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        substitute(template, VARIABLES)
    assert str(caught.value) == text


def test_arguments_have_a_limit() -> None:
    longest = b"x" * MAX_ARGUMENT_BYTES
    renderer = TemplateRenderer({b"e": lambda argument, _: argument or b""})
    assert renderer.feed(b"%(" + longest + b")") == b""
    assert renderer.feed(b"e") == longest
    with pytest.raises(TemplateError, match=r"^Unterminated field starting at position 1$"):
        substitute(b"%(" + longest + b"x)s", VARIABLES)
    unclosed = TemplateRenderer({})
    unclosed.feed(b"..%(" + longest)
    with pytest.raises(TemplateError, match=r"^Unterminated field starting at position 3$"):
        unclosed.feed(b"xx")


def test_what_is_rendered_has_a_limit() -> None:
    """Seven bytes of an item can stand for thousands of a hold's meta."""
    variables = {"a": "x" * (MAX_RENDERED_BYTES // 4)}
    assert len(substitute(b"%(a)s" * 4 + b"y" * 10, variables)) == MAX_RENDERED_BYTES + 10
    with pytest.raises(TemplateError, match=r"^Output of more than 4000000 bytes at position 20$"):
        substitute(b"%(a)s" * 5, variables)


def test_output_leaves_as_soon_as_it_is_certain() -> None:
    renderer = TemplateRenderer({b"s": lambda argument, _: b"<%b>" % (argument or b"")})
    assert [renderer.feed(piece) for piece in (b"ab%", b"(c", b"\\", b")", b")", b"sd", b"")] == [
        b"ab", b"", b"", b"", b"", b"<c)>d", b"",
    ]  # fmt: skip
    renderer.finish()


words = st.sampled_from([b"%", b"%%", b"(", b")", b"\\", b"s", b"d", b"user", b"%(user)s", b"\xff", b" "])


def outcome(pieces: list[bytes]) -> tuple[bytes, str]:
    renderer = TemplateRenderer({b"s": lambda argument, position: b"<%b %d>" % (argument or b"-", position)})
    output = b""
    try:
        for piece in pieces:
            output += renderer.feed(piece)
        renderer.finish()
    except TemplateError as exc:
        return b"", str(exc)
    return output, ""


@given(st.lists(words, max_size=12).map(b"".join), st.lists(st.integers(0, 40)))
def test_pieces_make_no_difference(template: bytes, cuts: list[int]) -> None:
    whole = outcome([template])
    borders = sorted({0, len(template), *(cut for cut in cuts if cut < len(template))})
    assert outcome([template[a:b] for a, b in itertools.pairwise(borders)]) == whole
    assert outcome([bytes([byte]) for byte in template]) == whole


@given(st.binary())
def test_escaped_text_comes_back(text: bytes) -> None:
    assert render_template(text.replace(b"%", b"%%"), {}) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_can_be_spelled(name: str, value: str) -> None:
    argument = name.replace("\\", "\\\\").replace(")", "\\)")
    assert substitute(f"%({argument})s".encode(), {name: value}) == value.encode()
