"""Any template, cut anywhere: the same text or the same error, and what is not a directive stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from tests.fuzz.mutations import PLACES, cut, each_byte, mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import GripError
from holdfast.grip.filters import (
    BuildIdStream,
    FilterContext,
    Question,
    Verdict,
    asks_network,
    filter_response,
    message_filtering,
)
from holdfast.grip.template import TemplateError, TemplateRenderer, render_template, substitute
from holdfast.grip.values import Subscription

SEEDS = [
    b"plain text", b"100%% of %(user)s", b"id: %I\ndata: %(a\\)b)I\n\n", b"%(" + b"x" * 300 + b")s",
    b"%(user)s%(none)s%", b"%(a",
]  # fmt: skip
TOKENS = [b"%", b"%%", b"%(", b")", b"\\", b")s", b"%(user)s", b"%I", b"%(x)I", b"\\)", b"%(\\"]
INPUTS = mutated(SEEDS, TOKENS)
VARIABLES = {"user": "alice", "none": None, "": "empty", "é": "\ud800"}
META = {"user": "alice", "id_format": "%(a)s-%(b)s", "id_encoding": None}


def render(pieces: Sequence[bytes]) -> bytes | str:
    renderer = TemplateRenderer({b"I": lambda argument, position: b"<" + (argument or b"") + b">"})
    try:
        output = b"".join(map(renderer.feed, pieces))
        renderer.finish()
    except TemplateError as exc:
        str(exc).encode()
        return str(exc)
    return output


@fuzz(INPUTS, PLACES, examples=200)
def test_any_cutting_renders_the_same(template: bytes, places: list[int]) -> None:
    whole = render([template])
    assert whole == render(cut(template, places)) == render(each_byte(template))
    if b"%" not in template:
        assert whole == template
    assert render([template.replace(b"%", b"%%")]) == template


@fuzz(INPUTS)
def test_substitution(template: bytes) -> None:
    try:
        output = substitute(template, VARIABLES)
    except TemplateError as exc:
        str(exc).encode()
        return
    assert output == render_template(
        template,
        {b"s": lambda argument, position: (VARIABLES[(argument or b"").decode()] or "").encode("utf-8", "replace")},
    )


FILTERS = st.lists(
    st.sampled_from(
        ["skip-self", "skip-users", "require-sub", "build-id", "var-subst", "http-check", "http-modify", "unknown"]
    ),
    max_size=4,
)
SMALL_TEXT = st.sampled_from(["alice", "", "a", "b", "alice, bob", "%(a)s", "%", "%(", "hex", "é"])
HOLD_META = st.dictionaries(
    st.sampled_from(["user", "id_format", "id_encoding", "x"]), st.none() | SMALL_TEXT, max_size=4
)
ITEM_META = st.dictionaries(st.sampled_from(["sender", "skip_users", "require_sub"]), SMALL_TEXT, max_size=3)
VERDICTS = st.builds(
    Verdict, is_drop=st.booleans(), content=st.none() | st.binary(max_size=4), error=st.none() | st.just("failed")
)


@fuzz(FILTERS, HOLD_META, ITEM_META, INPUTS, st.lists(VERDICTS, min_size=4, max_size=4), examples=200)
def test_any_filters(
    names: list[str],
    hold_meta: dict[str, str | None],
    item_meta: dict[str, str],
    content: bytes,
    verdicts: list[Verdict],
) -> None:
    context = FilterContext(hold_meta, item_meta, ["a", "b"], {"a": "1", "b": None}, "a", "2")
    filtering = message_filtering(names, context, content)
    asked = 0
    try:
        question = next(filtering)
        while True:
            assert isinstance(question, Question)
            asked += 1
            question = filtering.send(verdicts[asked - 1])
    except StopIteration as done:
        assert done.value is None or isinstance(done.value, bytes)
        if not {"build-id", "var-subst", "http-modify"} & set(names):
            assert done.value in (None, content)
    except GripError as exc:
        assert str(exc).startswith("filter error: ")
        str(exc).encode()
    assert asked <= sum(name.startswith("http-") for name in names)
    assert asks_network(names) or not asked


@fuzz(INPUTS, PLACES, HOLD_META)
def test_a_body_is_filtered_the_same_as_a_stream(
    body: bytes, places: list[int], hold_meta: dict[str, str | None]
) -> None:
    outcomes: list[object] = []
    try:
        outcomes.append(filter_response([Subscription("a", filters=("build-id",))], hold_meta, body))
    except GripError as exc:
        outcomes.append(str(exc))
    try:
        stream = BuildIdStream(hold_meta)
        output = b"".join(map(stream.feed, cut(body, places)))
        stream.finish()
        outcomes.append(output)
    except GripError as exc:
        outcomes.append(str(exc))
    assert outcomes[0] == outcomes[1]
    if isinstance(outcomes[0], bytes):
        assert len(outcomes[0]) <= 2 * len(body)
