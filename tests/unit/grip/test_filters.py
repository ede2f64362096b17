from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.filters import (
    BuildIdStream,
    FilterContext,
    FilterError,
    Verdict,
    asks_network,
    content_filter_names,
    filter_response,
    has_response_filter,
    lets_pass,
    message_filtering,
)
from holdfast.grip.values import Subscription


def context(
    hold_meta: dict[str, str | None] | None = None,
    item_meta: dict[str, str] | None = None,
    *,
    channels: tuple[str, ...] = ("c", "d"),
    prev_ids: dict[str, str | None] | None = None,
    item_id: str | None = None,
) -> FilterContext:
    return FilterContext(hold_meta or {}, item_meta or {}, channels, prev_ids or {}, "c", item_id)


def run(
    names: Sequence[str], given_context: FilterContext, content: bytes, *verdicts: Verdict
) -> tuple[bytes | None, list[bytes]]:
    """What the filters leave, and what they sent along with each question; `verdicts` answer them."""
    filtering = message_filtering(names, given_context, content)
    asked: list[bytes] = []
    try:
        question = next(filtering)
        for verdict in verdicts:
            assert question.context is given_context
            asked.append(question.content)
            question = filtering.send(verdict)
    except StopIteration as done:
        assert len(asked) == len(verdicts), "a verdict that nobody asked for"
        return done.value, asked
    raise AssertionError(f"one question more: {question}")


def filtered(names: Sequence[str], given_context: FilterContext, content: bytes) -> bytes | None:
    """What filters that ask nothing leave."""
    return run(names, given_context, content)[0]


BOB: dict[str, str | None] = {"user": "bob"}
DELIVERY: list[tuple[str, str, FilterContext, bool]] = [
    ("own item", "skip-self", context(BOB, {"sender": "bob"}), False),
    ("another's item", "skip-self", context(BOB, {"sender": "alice"}), True),
    ("no sender", "skip-self", context(BOB), True),
    ("no user", "skip-self", context({}, {"sender": "bob"}), True),
    ("both empty", "skip-self", context({"user": ""}, {"sender": ""}), True),
    ("user without value", "skip-self", context({"user": None}, {"sender": "bob"}), True),
    ("listed", "skip-users", context(BOB, {"skip_users": "alice, bob ,carol"}), False),
    ("alone in the list", "skip-users", context(BOB, {"skip_users": "bob"}), False),
    ("not listed", "skip-users", context(BOB, {"skip_users": "alice,bobby"}), True),
    ("no list", "skip-users", context(BOB), True),
    ("empty user in an empty list", "skip-users", context({"user": ""}, {"skip_users": ""}), True),
    ("required and missing", "require-sub", context({}, {"require_sub": "e"}), False),
    ("required and there", "require-sub", context({}, {"require_sub": "d"}), True),
    ("nothing required", "require-sub", context({}, {"require_sub": ""}), True),
    ("not marked", "require-sub", context(), True),
    ("grip-17: unknown filter", "no-such", context(BOB, {"sender": "bob"}), True),
]


@pytest.mark.parametrize(
    ("name", "given_context", "passes"),
    [case[1:] for case in DELIVERY],
    ids=[f"{name}: {title}" for title, name, _, _ in DELIVERY],
)
def test_delivery_filters(name: str, given_context: FilterContext, passes: bool) -> None:
    """grip-88"""
    assert filtered([name], given_context, b"x %") == (b"x %" if passes else None)


@pytest.mark.parametrize(
    ("name", "given_context", "passes"),
    [case[1:] for case in DELIVERY],
    ids=[f"{name}: {title}" for title, name, _, _ in DELIVERY],
)
def test_what_passes_is_known_without_the_content(name: str, given_context: FilterContext, passes: bool) -> None:
    assert lets_pass(["no-such", name], given_context) is passes


@pytest.mark.parametrize("name", ["build-id", "var-subst", "http-check", "http-modify"])
def test_what_depends_on_more_is_not_certain_to_pass(name: str) -> None:
    assert not lets_pass(["skip-self", name], context(BOB))


def test_no_filters() -> None:
    assert lets_pass((), context())
    assert filtered((), context(), b"100%") == b"100%"


def test_an_emptied_message_is_not_a_dropped_one() -> None:
    assert filtered(("var-subst",), context({"a": ""}), b"%(a)s") == b""


def test_filters_run_in_order_and_stop_at_a_drop() -> None:
    own = context({**BOB, "a": "%(user)s"}, {"sender": "bob"})
    assert filtered(("skip-self", "var-subst"), own, b"%(no)s") is None
    with pytest.raises(FilterError):
        filtered(("var-subst", "skip-self"), own, b"%(no)s")
    assert filtered(("var-subst", "var-subst"), own, b"%(a)s") == b"bob"


def test_var_subst() -> None:
    """grip-89"""
    assert filtered(("var-subst",), context(BOB), b"hi %(user)s, 100%%") == b"hi bob, 100%"


VAR_SUBST_ERRORS = [
    (b"%(no)s", "filter error: var-subst: No such variable 'no' at position 5"),
    (b"%(none)s", "filter error: var-subst: No such variable 'none' at position 7"),
    (b"50% off", "filter error: var-subst: Unknown directive ' ' at position 3"),
    (b"%I", "filter error: var-subst: Unknown directive 'I' at position 1"),
]


@pytest.mark.parametrize(("content", "text"), VAR_SUBST_ERRORS)
def test_var_subst_errors(content: bytes, text: str) -> None:
    """grip-89"""
    with pytest.raises(FilterError) as caught:
        filtered(("var-subst",), context({"none": None}), content)
    assert str(caught.value) == text
    assert isinstance(caught.value, GripError)


IDS: dict[str, str | None] = {"c": "1", "d": "7", "e": None}
FORMAT: dict[str, str | None] = {"id_format": "%(c)s-%(d)s"}


def build_id(content: bytes, meta: dict[str, str | None], item_id: str | None = "2") -> bytes | None:
    return filtered(("build-id",), context(meta, prev_ids=IDS, item_id=item_id), content)


def test_build_id_uses_the_id_of_the_item_on_its_way() -> None:
    """grip-90"""
    assert build_id(b"id: %I, again %I, text %(a b)I, 100%%", FORMAT) == b"id: 2-7, again 2-7, text a b, 100%"


def test_build_id_in_hex() -> None:
    """grip-90"""
    assert build_id(b"%I %(a\\)\xff)I", {**FORMAT, "id_encoding": "hex"}) == b"322d37 6129ff"


def test_build_id_needs_ids_only_where_they_are_used() -> None:
    assert build_id(b"%(x)I", {"id_format": "%(nobody)s"}) == b"x"
    assert build_id(b"%I", {"id_format": "fixed"}) == b"fixed"


BUILD_ID_ERRORS: list[tuple[str, bytes, dict[str, str | None], str | None, str]] = [
    ("no format", b"x", {}, "2", "no sub meta 'id_format'"),
    ("format without value", b"x", {"id_format": None}, "2", "no sub meta 'id_format'"),
    ("encoding", b"x", {**FORMAT, "id_encoding": "base64"}, "2", "unsupported encoding: base64"),
    ("empty encoding", b"x", {**FORMAT, "id_encoding": ""}, "2", "unsupported encoding: "),
    ("unknown channel", b"%I", {"id_format": "%(x)s"}, "2", "failed to render ID: No such variable 'x' at position 4"),
    ("no prev-id", b"%I", {"id_format": "%(e)s"}, "2", "failed to render ID: No such variable 'e' at position 4"),
    ("item without id", b"%I", FORMAT, None, "failed to render ID: No such variable 'c' at position 4"),
    ("bad format", b"%I", {"id_format": "a%"}, "2", "failed to render ID: Expected directive after '%' at position 1"),
    ("bad directive", b"%s", FORMAT, "2", "Unknown directive 's' at position 1"),
    ("incomplete", b"a%(x)", FORMAT, "2", "Expected directive after ')' at position 4"),
]


@pytest.mark.parametrize(
    ("content", "meta", "item_id", "why"),
    [case[1:] for case in BUILD_ID_ERRORS],
    ids=[case[0] for case in BUILD_ID_ERRORS],
)
def test_build_id_errors(content: bytes, meta: dict[str, str | None], item_id: str | None, why: str) -> None:
    with pytest.raises(FilterError) as caught:
        build_id(content, meta, item_id)
    assert str(caught.value) == f"filter error: build-id: {why}"


def test_a_channel_that_takes_everything_has_no_id() -> None:
    with pytest.raises(FilterError, match="failed to render ID: No such variable 'c' at position 4"):
        filtered(("build-id",), context({"id_format": "%(c)s"}, prev_ids={"c": None}, item_id="2"), b"%I")


NETWORK: list[tuple[str, str, Verdict, bytes | None, bytes]] = [
    ("passes", "http-check", Verdict(), b"x", b""),
    ("drops", "http-check", Verdict(is_drop=True), None, b""),
    ("changes nothing", "http-check", Verdict(content=b"new"), b"x", b""),
    ("keeps", "http-modify", Verdict(), b"x", b"x"),
    ("replaces", "http-modify", Verdict(content=b"new"), b"new", b"x"),
    ("empties", "http-modify", Verdict(content=b""), b"", b"x"),
    ("drops", "http-modify", Verdict(is_drop=True, content=b"new"), None, b"x"),
]


@pytest.mark.parametrize(
    ("name", "verdict", "expected", "sent"),
    [case[1:] for case in NETWORK],
    ids=[f"{name}: {title}" for title, name, *_ in NETWORK],
)
def test_filters_that_ask_the_network(name: str, verdict: Verdict, expected: bytes | None, sent: bytes) -> None:
    """grip-94: only `http-modify` tells what it is about, and may change it."""
    assert run([name], context(), b"x", verdict) == (expected, [sent])


def test_the_network_is_asked_in_order() -> None:
    """grip spec §11.1: after what was before has changed the content, and not after a drop."""
    names = ("var-subst", "http-modify", "http-check", "http-modify")
    verdicts = (Verdict(content=b"one"), Verdict(), Verdict(content=b"two"))
    assert run(names, context(BOB), b"%(user)s", *verdicts) == (b"two", [b"bob", b"", b"one"])
    assert run(names, context(BOB), b"x", Verdict(), Verdict(is_drop=True)) == (None, [b"x", b""])
    assert run(("skip-self", "http-check"), context(BOB, {"sender": "bob"}), b"x") == (None, [])


@pytest.mark.parametrize("name", ["http-check", "http-modify"])
def test_a_question_without_answer(name: str) -> None:
    """grip spec §11.4"""
    with pytest.raises(FilterError, match=f"^filter error: {name}: network request limit reached$"):
        run([name], context(), b"x", Verdict(error="network request limit reached"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), False),
        (("skip-self", "var-subst", "no-such"), False),
        (("a", "http-check"), True),
        (("http-modify",), True),
    ],
)
def test_asks_network(names: tuple[str, ...], expected: bool) -> None:
    assert asks_network(names) is expected


def test_names_that_count_as_content_filters() -> None:
    """grip-91, grip-92: in order, without delivery filters and unknown names."""
    filters = (
        "build-id",
        "skip-self",
        "no-such",
        "http-modify",
        "http-check",
        "var-subst",
        "require-sub",
        "skip-users",
    )
    assert content_filter_names(filters) == ("build-id", "http-modify", "var-subst")
    assert content_filter_names(()) == ()


PLAIN = Subscription("a", None, ("var-subst",))
BUILDING = Subscription("b", None, ("skip-self", "build-id", "build-id"))


def test_responses_are_filtered_once_over_all_channels() -> None:
    subscriptions = (PLAIN, BUILDING, Subscription("c", None, ("build-id",)))
    assert has_response_filter(subscriptions)
    assert filter_response(subscriptions, FORMAT, b"%(%%)I 100%%") == b"%% 100%"


def test_responses_without_build_id_are_left_alone() -> None:
    assert not has_response_filter((PLAIN,))
    assert filter_response((PLAIN,), {}, b"%I %(user)s %") == b"%I %(user)s %"


RESPONSE_ERRORS: list[tuple[bytes, dict[str, str | None], str]] = [
    (b"%I", FORMAT, "No ID specified and no default ID in context"),
    (b"x", {}, "no sub meta 'id_format'"),
    (b"x", {**FORMAT, "id_encoding": "x"}, "unsupported encoding: x"),
    (b"%x", FORMAT, "Unknown directive 'x' at position 1"),
    (b"%(x", FORMAT, "Unterminated field starting at position 1"),
]


@pytest.mark.parametrize(("body", "meta", "why"), RESPONSE_ERRORS)
def test_response_errors(body: bytes, meta: dict[str, str | None], why: str) -> None:
    with pytest.raises(FilterError) as caught:
        filter_response((BUILDING,), meta, body)
    assert str(caught.value) == f"filter error: build-id: {why}"


words = st.sampled_from([b"%(ab)I", b"%%", b"%(", b"\\", b")", b"I", b"a", b"%I", b"\xff"])


def outcome(pieces: list[bytes]) -> tuple[bytes, str]:
    stream = BuildIdStream({**FORMAT, "id_encoding": "hex"})
    output = b""
    try:
        for piece in pieces:
            output += stream.feed(piece)
        stream.finish()
    except FilterError as exc:
        return b"", str(exc)
    return output, ""


@given(st.lists(words, max_size=10).map(b"".join), st.integers(1, 8))
def test_directives_may_span_reads(body: bytes, size: int) -> None:
    assert outcome([body[start : start + size] for start in range(0, len(body), size)]) == outcome([body])


meta_texts = st.dictionaries(
    st.sampled_from(["user", "id_format", "id_encoding"]),
    st.none() | st.sampled_from(["hex", "%(c)s", "%"]) | st.text(),
)
filter_names = st.lists(st.sampled_from(["skip-self", "skip-users", "require-sub", "var-subst", "build-id", "no-such"]))


@given(filter_names, meta_texts, st.dictionaries(st.text(), st.text()), st.none() | st.text(), st.binary() | words)
def test_any_message_is_filtered_or_a_filter_error(
    names: list[str], hold_meta: dict[str, str | None], item_meta: dict[str, str], item_id: str | None, content: bytes
) -> None:
    try:
        result = filtered(names, context(hold_meta, item_meta, prev_ids=IDS, item_id=item_id), content)
    except FilterError as exc:
        assert str(exc).startswith("filter error: ")
    else:
        assert result is None or isinstance(result, bytes)
