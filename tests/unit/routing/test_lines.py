"""The line grammar (routes spec §1.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import RouteError
from holdfast.routing.lines import Section, parse_line


@pytest.mark.parametrize("line", ["", " ", "    ", "# x", "   # x", "#", "#a.com h:80"])
def test_nothing_to_parse(line: str) -> None:
    """routes-1: comments and blank lines say nothing."""
    assert parse_line(line) is None


LINES = [
    pytest.param("a.com h:80", [("a.com", ()), ("h:80", ())], id="plain"),
    pytest.param("  a.com   h:80  ", [("a.com", ()), ("h:80", ())], id="many-spaces"),
    pytest.param("a.com h:80#c", [("a.com", ()), ("h:80", ())], id="routes-4-comment-without-blank"),
    pytest.param("a.com h:80 # c, d=e", [("a.com", ()), ("h:80", ())], id="comment-after-blank"),
    pytest.param("a.com h:80 i:81", [("a.com", ()), ("h:80", ()), ("i:81", ())], id="two-targets"),
    pytest.param("a.com,ssl=yes h:80,ssl", [("a.com", (("ssl", "yes"),)), ("h:80", (("ssl", ""),))], id="props"),
    pytest.param("a.com,x=1,x=2 h:80", [("a.com", (("x", "1"), ("x", "2"))), ("h:80", ())], id="prop-twice"),
    pytest.param("a.com,x= h:80", [("a.com", (("x", ""),)), ("h:80", ())], id="empty-text"),
    pytest.param("a.com,x=a=b h:80", [("a.com", (("x", "a=b"),)), ("h:80", ())], id="first-equals-splits"),
    pytest.param('"a.com" "h":"80"', [("a.com", ()), ("h:80", ())], id="routes-6-quotes-anywhere"),
    pytest.param(
        'a.com,header="X: a, b#c" h:80', [("a.com", (("header", "X: a, b#c"),)), ("h:80", ())], id="routes-5-quoted"
    ),
    pytest.param('a.com,x="\\"\\\\" h:80', [("a.com", (("x", '"\\'),)), ("h:80", ())], id="escapes"),
    pytest.param("a.com,x=\\n h:80", [("a.com", (("x", "\\n"),)), ("h:80", ())], id="backslash-outside-quotes"),
    pytest.param('a.com,"x=y" h:80', [("a.com", (("x", "y"),)), ("h:80", ())], id="quotes-do-not-protect-equals"),
    pytest.param('"" h:80', [("", ()), ("h:80", ())], id="empty-quotes"),
    pytest.param(",id=r h:80", [("", (("id", "r"),)), ("h:80", ())], id="empty-value"),
    pytest.param(" ,id=r h:80", [("", (("id", "r"),)), ("h:80", ())], id="empty-value-after-blank"),
    pytest.param("id=r h:80", [("", (("id", "r"),)), ("h:80", ())], id="routes-9-prop-in-column-0"),
    pytest.param('id="r s",x h:80', [("", (("id", "r s"), ("x", ""))), ("h:80", ())], id="quoted-prop-in-column-0"),
    pytest.param("a.com ,ssl", [("a.com", ()), ("", (("ssl", ""),))], id="target-without-value"),
    pytest.param("a.com h:80 \\", [("a.com", ()), ("h:80", ()), ("\\", ())], id="no-continuation"),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_sections(line: str, expected: list[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
    assert parse_line(line) == [Section(*pair) for pair in expected]


ERRORS = [
    pytest.param('a.com,x="y 1:80', "unterminated quoted section", id="open-quote"),
    pytest.param('a.com,x="y\\" 1:80', "unterminated quoted section", id="open-quote-after-escape"),
    pytest.param('a.com "', "unterminated quoted section", id="quote-at-end"),
    pytest.param('a.com,x="\\', "unterminated escape sequence", id="open-escape"),
    pytest.param('a.com,x="\\n" 1:80', "unexpected escape character: n", id="routes-7"),
    pytest.param("a.com, h:80", "expecting prop", id="routes-8-blank-after-comma"),
    pytest.param("a.com h:80,#c", "expecting prop", id="comment-after-comma"),
    pytest.param("a.com,,x h:80", "expecting prop", id="two-commas"),
    pytest.param("a.com h:80,", "expecting prop", id="comma-at-end"),
    pytest.param("a.com x=y:80", "expecting prop", id="prop-as-target"),
    pytest.param(" id=r h:80", "expecting prop", id="routes-9-prop-after-blank"),
    pytest.param("a.com,=x h:80", "empty prop name", id="routes-8-empty-name"),
    pytest.param("=x h:80", "empty prop name", id="empty-name-in-column-0"),
    pytest.param("a.com", "must specify condition and at least one target", id="routes-2"),
    pytest.param("a.com\th:80", "must specify condition and at least one target", id="routes-3-tab"),
    pytest.param("a.com#h h:80", "must specify condition and at least one target", id="comment-in-condition"),
]


@pytest.mark.parametrize(("line", "text"), ERRORS)
def test_errors(line: str, text: str) -> None:
    with pytest.raises(RouteError) as caught:
        parse_line(line)
    assert str(caught.value) == text


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


VALUES = st.text(st.characters(exclude_characters="\r\n="), min_size=1)
PROPS = st.lists(st.tuples(VALUES, st.text(st.characters(exclude_characters="\r\n"))), max_size=3)


@given(st.lists(st.tuples(VALUES, PROPS), min_size=2, max_size=4))
def test_quoting_protects_everything_but_the_first_equals(wanted: list[tuple[str, list[tuple[str, str]]]]) -> None:
    line = " ".join(
        ",".join([quote(value), *(f"{quote(name)}={quote(text)}" for name, text in props)]) for value, props in wanted
    )
    assert parse_line(line) == [Section(value, tuple(props)) for value, props in wanted]


@given(st.text(st.sampled_from(' ,#"\\=ab:\t'), max_size=12))
def test_any_line_is_parsed_or_refused(line: str) -> None:
    try:
        sections = parse_line(line)
    except RouteError:
        return
    assert sections is None or len(sections) >= 2
