"""An item as one hold gets it: content filters, filters, patch."""

from __future__ import annotations

import pytest
from tests.unit.push.helpers import ROUTE, make_instruct, make_item, message

from holdfast.grip.filters import Question, Verdict
from holdfast.grip.item import Action, Item, ResponseFormat, StreamFormat
from holdfast.grip.values import BackendResponse, HoldMode, Subscription
from holdfast.push.plan import HoldPlan, PlanTable, RouteTerms
from holdfast.push.render import (
    ItemSkipped,
    Rendering,
    ResultT,
    message_rendering,
    passes_whole,
    render,
    response_rendering,
    stream_rendering,
)


def stream_plan(*filters: str, meta: dict[str, str | None] | None = None, prev_id: str | None = None) -> HoldPlan:
    instruct = make_instruct(HoldMode.STREAM, Subscription("c", prev_id, filters), Subscription("d"), meta=meta)
    return PlanTable(20).plan(instruct, RouteTerms(prefix="p-"))[0]


def response_plan(*filters: str, body: bytes = b"kept\n", meta: dict[str, str | None] | None = None) -> HoldPlan:
    instruct = make_instruct(HoldMode.RESPONSE, Subscription("c", None, filters), body=body, meta=meta)
    return PlanTable(20).plan(instruct, ROUTE)[0]


def stream_item(content: bytes, content_filters: tuple[str, ...] | None = None, *, item_id: str | None = None) -> Item:
    return make_item("p-c", stream=StreamFormat(Action.SEND, content, content_filters), item_id=item_id)


def render_stream(plan: HoldPlan, channel: str, item: Item) -> bytes:
    return render(stream_rendering(plan, channel, item, plan.prev_ids))


class TestStream:
    def test_content(self) -> None:
        assert render_stream(stream_plan("no-such"), "p-c", stream_item(b"x")) == b"x"

    def test_filters_are_the_channels_own(self) -> None:
        plan = stream_plan("var-subst")
        item = make_item("p-d", stream=StreamFormat(Action.SEND, b"%(user)s"))
        assert render_stream(plan, "p-d", item) == b"%(user)s"

    @pytest.mark.parametrize("action", [Action.CLOSE, Action.HINT, Action.REFRESH])
    def test_other_actions_append_nothing(self, action: Action) -> None:
        """grip spec §6.3"""
        assert render_stream(stream_plan(), "p-c", make_item("p-c", stream=StreamFormat(action))) == b""

    @pytest.mark.parametrize("action", [Action.SEND, Action.CLOSE])
    def test_dropped(self, action: Action) -> None:
        """grip-88; grip spec §11.1: a dropped `close` does not close."""
        item = make_item("p-c", stream=StreamFormat(action, b"x"), meta={"sender": "bob"})
        with pytest.raises(ItemSkipped) as caught:
            render_stream(stream_plan("skip-self", meta={"user": "bob"}), "p-c", item)
        assert (caught.value.is_failure, caught.value.is_fatal) == (False, False)

    def test_failure(self) -> None:
        """grip-89"""
        with pytest.raises(ItemSkipped) as caught:
            render_stream(stream_plan("var-subst"), "p-c", stream_item(b"%(user)s"))
        assert str(caught.value) == "filter error: var-subst: No such variable 'user' at position 7"
        assert (caught.value.is_failure, caught.value.is_fatal) == (True, False)

    def test_what_filters_see(self) -> None:
        """grip-90: names without the route's prefix, the hold's meta, and the id of the item on its way."""
        plan = stream_plan("var-subst", "build-id", "require-sub", meta={"id_format": "%(c)s!"}, prev_id="1")
        item = make_item("p-c", stream=StreamFormat(Action.SEND, b"%%I"), meta={"require_sub": "d"}, item_id="2")
        assert render_stream(plan, "p-c", item) == b"2!"


CONTENT_FILTERS = [
    ("not asked for", ("build-id",), None, True),
    ("equal", ("skip-self", "build-id"), ("build-id",), True),
    ("none wanted, none there", ("skip-self",), (), True),
    ("none wanted, one there", ("build-id",), (), False),
    ("one wanted, none there", (), ("build-id",), False),
    ("other order", ("build-id", "var-subst"), ("var-subst", "build-id"), False),
]


@pytest.mark.parametrize(
    ("ours", "wanted", "passes"), [case[1:] for case in CONTENT_FILTERS], ids=[case[0] for case in CONTENT_FILTERS]
)
def test_content_filters(ours: tuple[str, ...], wanted: tuple[str, ...] | None, passes: bool) -> None:
    """grip-91, grip-92"""
    plan = stream_plan(*ours, meta={"id_format": "x"})
    if passes:
        assert render_stream(plan, "p-c", stream_item(b"x", wanted)) == b"x"
        return
    with pytest.raises(ItemSkipped, match=r"^content filter mismatch: subscription=\S* message=\S*$") as caught:
        render_stream(plan, "p-c", stream_item(b"x", wanted))
    assert caught.value.is_failure
    assert not caught.value.is_fatal


def test_content_filter_mismatch_names_both_sides() -> None:
    with pytest.raises(
        ItemSkipped, match=r"^content filter mismatch: subscription=build-id,var-subst message=var-subst$"
    ):
        render_stream(stream_plan("build-id", "var-subst"), "p-c", stream_item(b"x", ("var-subst",)))


class TestResponse:
    def render(self, plan: HoldPlan, fmt: ResponseFormat, meta: dict[str, str] | None = None) -> BackendResponse | None:
        return render(response_rendering(plan, "c", make_item("c", response=fmt, meta=meta), fmt, {}))

    def test_published_over_kept(self) -> None:
        """grip-39, grip-40"""
        response = self.render(response_plan(), ResponseFormat(Action.SEND, headers=[(b"X-New", b"2")], body=b"x"))
        assert response == BackendResponse(200, b"OK", [(b"X-Kept", b"1"), (b"X-New", b"2")], b"x")

    @pytest.mark.parametrize("action", [Action.CLOSE, Action.HINT, Action.REFRESH])
    def test_other_actions_are_not_for_response_holds(self, action: Action) -> None:
        """grip-42"""
        assert self.render(response_plan(), ResponseFormat(action)) is None

    def test_patch(self) -> None:
        """grip-95"""
        patch: list[object] = [{"op": "add", "path": "/a", "value": 1}]
        response = self.render(response_plan(body=b'{"b": 2}\n'), ResponseFormat(Action.SEND, body_patch=patch))
        assert response is not None
        assert response.body == b'{"a":1,"b":2}\n'

    def test_patch_then_filters(self) -> None:
        patch: list[object] = [{"op": "replace", "path": "/b", "value": "%(user)s"}]
        plan = response_plan("var-subst", body=b'{"b":2}', meta={"user": "bob"})
        response = self.render(plan, ResponseFormat(Action.SEND, body_patch=patch))
        assert response is not None
        assert response.body == b'{"b":"bob"}'

    def test_failing_patch_is_fatal(self) -> None:
        """grip-96"""
        with pytest.raises(ItemSkipped, match=r"^body patch: ") as caught:
            self.render(response_plan(body=b"no JSON"), ResponseFormat(Action.SEND, body_patch=[]))
        assert (caught.value.is_failure, caught.value.is_fatal) == (True, True)

    def test_dropped(self) -> None:
        with pytest.raises(ItemSkipped):
            plan = response_plan("skip-self", meta={"user": "bob"})
            self.render(plan, ResponseFormat(Action.SEND, body=b"x"), {"sender": "bob"})


class TestMessage:
    def socket_plan(self, *filters: str, meta: dict[str, str | None] | None = None) -> HoldPlan:
        subscriptions = (Subscription("c", None, filters), Subscription("d"))
        return PlanTable(20).socket_plan(RouteTerms(prefix="p-"), subscriptions, meta or {})

    def test_content(self) -> None:
        plan = self.socket_plan("var-subst", meta={"user": "bob"})
        assert render(message_rendering(plan, "p-c", message("p-c", "to %(user)s"))) == b"to bob"
        assert render(message_rendering(plan, "p-d", message("p-d", "to %(user)s"))) == b"to %(user)s"

    @pytest.mark.parametrize("action", [Action.SEND, Action.CLOSE, Action.REFRESH])
    def test_dropped(self, action: Action) -> None:
        """ws spec §3.3: a dropped action is none."""
        item = message("p-c", action=action, meta={"sender": "bob"})
        with pytest.raises(ItemSkipped) as caught:
            render(message_rendering(self.socket_plan("skip-self", meta={"user": "bob"}), "p-c", item))
        assert not caught.value.is_failure

    def test_content_filters(self) -> None:
        item = message("p-c", "x", content_filters=("build-id",))
        with pytest.raises(ItemSkipped, match=r"^content filter mismatch: subscription= message=build-id$"):
            render(message_rendering(self.socket_plan("skip-self"), "p-c", item))

    def test_what_filters_see(self) -> None:
        """Names without the route's prefix, and no ids: a WebSocket has none."""
        rendering = message_rendering(self.socket_plan("http-check", meta={"user": "bob"}), "p-c", message("p-c", "x"))
        context = next(rendering).context
        assert (context.hold_meta, context.channel, list(context.channels)) == ({"user": "bob"}, "c", ["c", "d"])
        assert (context.prev_ids, context.item_id) == ({}, None)


class TestAsking:
    """grip spec §11.4: a filter that asks the network is asked step by step."""

    def ask(self, rendering: Rendering[ResultT], *verdicts: Verdict) -> tuple[ResultT, list[Question]]:
        question, questions = next(rendering), []
        try:
            for verdict in verdicts:
                questions.append(question)
                question = rendering.send(verdict)
        except StopIteration as done:
            return done.value, questions
        raise AssertionError("one question more")

    def test_stream(self) -> None:
        plan = stream_plan("http-modify", "http-check", meta={"user": "bob"}, prev_id="1")
        item = make_item("p-c", stream=StreamFormat(Action.SEND, b"x"), meta={"sender": "eve"}, item_id="2")
        rendering = stream_rendering(plan, "p-c", item, {"p-c": "7", "p-d": "8"})
        content, questions = self.ask(rendering, Verdict(content=b"new"), Verdict())
        assert content == b"new"
        assert [question.content for question in questions] == [b"x", b""]
        context = questions[0].context
        assert (context.hold_meta, context.item_meta) == ({"user": "bob"}, {"sender": "eve"})
        assert (context.channel, context.channels) == ("c", ["c", "d"])
        assert (context.prev_ids, context.item_id) == ({"c": "7", "d": "8"}, "2")

    def test_response(self) -> None:
        fmt = ResponseFormat(Action.SEND, body=b"x")
        rendering = response_rendering(response_plan("http-modify"), "c", make_item("c", response=fmt), fmt, {})
        response, questions = self.ask(rendering, Verdict(content=b"new"))
        assert response is not None
        assert (response.body, questions[0].content) == (b"new", b"x")

    def test_hint(self) -> None:
        fmt = ResponseFormat(Action.HINT, body=b"x")
        rendering = response_rendering(response_plan("http-modify"), "c", make_item("c", response=fmt), fmt, {})
        response, questions = self.ask(rendering, Verdict(content=b"new"))
        assert (response, questions[0].content) == (None, b"")

    def test_not_answered(self) -> None:
        rendering = stream_rendering(stream_plan("http-check"), "p-c", stream_item(b"x"), {})
        with pytest.raises(ItemSkipped, match=r"^filter error: http-check: why$") as caught:
            self.ask(rendering, Verdict(error="why"))
        assert caught.value.is_failure

    def test_whoever_renders_at_once_must_not_have_any(self) -> None:
        with pytest.raises(AssertionError, match="a filter asks the network about c"):
            render_stream(stream_plan("http-check"), "p-c", stream_item(b"x"))


@pytest.mark.parametrize(
    ("sender", "filters", "passes"),
    [("eve", ("skip-self",), True), ("bob", ("skip-self",), False), ("eve", ("skip-self", "var-subst"), False)],
)
def test_what_passes_whole(sender: str, filters: tuple[str, ...], passes: bool) -> None:
    items = [stream_item(b"x"), make_item("c", stream=StreamFormat(Action.CLOSE), meta={"sender": sender})]
    plan = stream_plan(*filters, meta={"user": "bob"})
    assert passes_whole(plan, "p-c", items) is passes
    assert passes_whole(plan, "p-d", items)


@pytest.mark.parametrize(
    ("is_debug", "body"), [(False, b"Error while proxying to origin.\n"), (True, b"filter error: x: y\n")]
)
def test_answer_to_a_failure(is_debug: bool, body: bytes) -> None:
    """grip spec §5.10"""
    response = ItemSkipped("filter error: x: y", is_failure=True).as_response(is_debug)
    assert response == BackendResponse(502, b"Bad Gateway", [(b"Content-Type", b"text/plain")], body)
