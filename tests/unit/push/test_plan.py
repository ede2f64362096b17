"""Plans: what an instruct becomes, and that equal instructs cost one plan for as long as somebody uses it."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.push.helpers import ROUTE, keep_alive, make_instruct

from holdfast.grip.values import HoldMode, Instruct, KeepAliveMode, Subscription
from holdfast.push.plan import HoldPlan, PlanTable, RouteTerms

STREAM, RESPONSE = HoldMode.STREAM, HoldMode.RESPONSE
PREFIXED = RouteTerms(prefix="p-", implicit_channels=("all", "p-a"))


def make_plan(instruct: Instruct, route: RouteTerms = ROUTE, subscription_max: int = 20) -> HoldPlan:
    return PlanTable(subscription_max).plan(instruct, route)[0]


class TestChannels:
    def test_prefix(self) -> None:
        """grip-13"""
        plan = make_plan(make_instruct(STREAM, "c", "d"), RouteTerms(prefix="p-"))
        assert plan.channels == ("p-c", "p-d")
        assert plan.bare_channels == ["c", "d"]

    def test_implicit_channels_come_last_without_prefix_and_once(self) -> None:
        """grip-14"""
        plan = make_plan(make_instruct(STREAM, "a", "b"), PREFIXED)
        assert plan.channels == ("p-a", "p-b", "all")

    @pytest.mark.parametrize(
        ("subscription_max", "kept", "left_out"),
        [(3, ("a", "b", "c", "implicit"), 1), (4, ("a", "b", "c", "d", "implicit"), 0), (1, ("a", "implicit"), 3)],
    )
    def test_subscription_max(self, subscription_max: int, kept: tuple[str, ...], left_out: int) -> None:
        """grip-15: implicit channels are not counted."""
        table = PlanTable(subscription_max)
        route = RouteTerms(implicit_channels=("implicit",))
        plan, number = table.plan(make_instruct(STREAM, "a", "b", "c", "d"), route)
        assert (plan.channels, number) == (kept, left_out)

    def test_no_channels(self) -> None:
        assert make_plan(make_instruct(STREAM)).channels == ()


class TestFilters:
    def test_only_channels_with_filters_are_listed(self) -> None:
        subscriptions = [Subscription("a", filters=("skip-self", "build-id", "nonsense")), Subscription("b")]
        plan = make_plan(make_instruct(STREAM, *subscriptions), RouteTerms(prefix="p-"))
        assert plan.filters == {"p-a": ("skip-self", "build-id", "nonsense")}

    def test_content_filters(self) -> None:
        """grip-92: delivery filters and unknown names do not count."""
        plan = make_plan(make_instruct(STREAM, Subscription("a", filters=("skip-self", "build-id", "nonsense")), "b"))
        assert plan.content_filters("a") == ("build-id",)
        assert plan.content_filters("b") == ()


class TestSieve:
    """Where it is equal, filters decide alike: such holds may be asked together."""

    def sieve(
        self, prefix: str, channel: str, *filters: str, user: str = "bob", prev_id: str = "1"
    ) -> tuple[object, ...]:
        instruct = make_instruct(STREAM, Subscription(channel, prev_id, filters), meta={"user": user})
        return make_plan(instruct, RouteTerms(prefix=prefix)).sieve

    def test_what_decides(self) -> None:
        known = self.sieve("a", "bc", "skip-self")
        assert self.sieve("a", "bc", "skip-self", prev_id="2") == known
        assert self.sieve("a", "bc", "skip-self", user="eve") != known
        assert self.sieve("a", "bc", "skip-self", "require-sub") != known

    def test_the_bare_name_does(self) -> None:
        """Filters see it, and the same full name may be made of another."""
        assert self.sieve("a", "bc", "require-sub") != self.sieve("ab", "c", "require-sub")

    def test_nothing_if_there_are_no_filters(self) -> None:
        assert self.sieve("a", "bc") == self.sieve("ab", "c", user="eve") == ()


class TestMode:
    def test_response_holds_keep_the_response(self) -> None:
        instruct = make_instruct(RESPONSE, "a", timeout_s=7)
        plan = make_plan(instruct)
        assert (plan.kept, plan.timeout_s) == (instruct.response, 7)

    def test_streams_do_not(self) -> None:
        """The body has been sent: keeping it would make a plan of every stream's greeting."""
        table = PlanTable(20)
        one, _ = table.plan(make_instruct(STREAM, "a", body=b"hello bob"), ROUTE)
        two, _ = table.plan(make_instruct(STREAM, "a", body=b"hello eve"), ROUTE)
        assert one is two
        assert one.kept is None


KEEP_ALIVES = [
    ("none", None, b"", False),
    ("idle", keep_alive(b"\n", 20), b"1\r\n\n\r\n", True),
    ("interval", keep_alive(b"event: x\n\n", 20, KeepAliveMode.INTERVAL), b"a\r\nevent: x\n\n\r\n", False),
    ("nothing to send", keep_alive(b"", 20), b"", True),
]


@pytest.mark.parametrize(
    ("instruct", "chunk", "is_postponed"),
    [
        (make_instruct(STREAM, "a", keep_alive=given), chunk, is_postponed)
        for _, given, chunk, is_postponed in KEEP_ALIVES
    ],
    ids=[name for name, *_ in KEEP_ALIVES],
)
def test_keep_alive_is_encoded_once_per_plan(instruct: Instruct, chunk: bytes, is_postponed: bool) -> None:
    plan = make_plan(instruct)
    assert (plan.keep_alive_chunk, plan.is_postponed_by_writes) == (chunk, is_postponed)


BASE = make_instruct(RESPONSE, Subscription("a", "1", ("skip-self",)), keep_alive=keep_alive(b"x", 9), meta={"u": "1"})

DIFFERENT = {
    "mode": replace(BASE, mode=STREAM),
    "channel": replace(BASE, subscriptions=(Subscription("b", "1", ("skip-self",)),)),
    "prev-id": replace(BASE, subscriptions=(Subscription("a", "2", ("skip-self",)),)),
    "no prev-id": replace(BASE, subscriptions=(Subscription("a", None, ("skip-self",)),)),
    "empty prev-id": replace(BASE, subscriptions=(Subscription("a", "", ("skip-self",)),)),
    "filters": replace(BASE, subscriptions=(Subscription("a", "1"),)),
    "meta": replace(BASE, meta={"u": "2"}),
    "meta without value": replace(BASE, meta={"u": None}),
    "keep-alive": replace(BASE, keep_alive=None),
    "timeout": replace(BASE, timeout_s=56),
    "code": replace(BASE, response=replace(BASE.response, code=201)),
    "reason": replace(BASE, response=replace(BASE.response, reason=b"Fine")),
    "headers": replace(BASE, response=replace(BASE.response, headers=[])),
    "body": replace(BASE, response=replace(BASE.response, body=b"")),
}


class TestSharing:
    def test_equal_instructs_share_a_plan(self) -> None:
        table = PlanTable(20)
        plan, _ = table.plan(BASE, RouteTerms(key="r"))
        again, _ = table.plan(replace(BASE, meta=dict(BASE.meta)), RouteTerms(key="r"))
        assert again is plan
        assert len(table) == 1

    @pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT.keys())
    def test_different_instructs_do_not(self, other: Instruct) -> None:
        table = PlanTable(20)
        plan, _ = table.plan(BASE, ROUTE)
        another, _ = table.plan(other, ROUTE)
        assert another is not plan
        assert len(table) == 2

    @pytest.mark.parametrize(
        "route",
        [RouteTerms(key="k"), RouteTerms(prefix="p"), RouteTerms(is_debug=True), RouteTerms(implicit_channels=("x",))],
        ids=["key", "prefix", "debug", "implicit channel"],
    )
    def test_nor_do_different_routes(self, route: RouteTerms) -> None:
        table = PlanTable(20)
        plan, _ = table.plan(BASE, ROUTE)
        assert table.plan(BASE, route)[0] is not plan

    def test_plans_that_differ_only_in_what_is_left_out_are_shared(self) -> None:
        table = PlanTable(1)
        one, _ = table.plan(make_instruct(STREAM, "a", "b"), ROUTE)
        two, _ = table.plan(make_instruct(STREAM, "a", "c"), ROUTE)
        assert one is two

    def test_a_plan_is_forgotten_with_its_last_user(self) -> None:
        table = PlanTable(20)
        first, _ = table.plan(BASE, ROUTE)
        second, _ = table.plan(BASE, ROUTE)
        del first
        gc.collect()
        assert len(table) == 1
        del second
        gc.collect()
        assert len(table) == 0

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
    def test_memory_is_bounded_by_what_is_in_use(self, steps: list[tuple[str, bool]]) -> None:
        """As many plans as there are distinct instructs among the holds, whatever came and went before."""
        table = PlanTable(20)
        holds: list[tuple[str, HoldPlan]] = []
        for channel, comes in steps:
            if comes:
                holds.append((channel, table.plan(make_instruct(RESPONSE, channel), ROUTE)[0]))
            elif holds:
                holds.pop(0)
            assert len(table) == len({held for held, _ in holds})


class TestSockets:
    """ws spec §2.4: what control messages have made of a WebSocket's subscriptions."""

    SUBSCRIPTIONS = (Subscription("c", None, ("skip-self", "http-check")), Subscription("d"))

    def test_channels_and_filters(self) -> None:
        route = RouteTerms(prefix="p-", implicit_channels=("all", "p-d"))
        plan = PlanTable(20).socket_plan(route, self.SUBSCRIPTIONS, {"user": "bob"})
        assert plan.channels == ("p-c", "p-d", "all")
        assert plan.bare_channels == ["c", "d", "all"]
        assert plan.filters == {"p-c": ("skip-self", "http-check")}
        assert plan.network_filtered == {"p-c"}
        assert (plan.subscriptions, plan.meta, plan.route) == (self.SUBSCRIPTIONS, {"user": "bob"}, route)
        assert (dict(plan.prev_ids), plan.keep_alive, plan.kept, plan.keep_alive_chunk) == ({}, None, None, b"")

    def test_none(self) -> None:
        assert PlanTable(20).socket_plan(ROUTE, (), {}).channels == ()

    def test_equal_ones_share_a_plan_and_streams_do_not_share_theirs(self) -> None:
        """A stream and a WebSocket of the same channels differ: their plans are found by different keys."""
        table = PlanTable(20)
        plan = table.socket_plan(ROUTE, self.SUBSCRIPTIONS, {"a": "b"})
        assert table.socket_plan(ROUTE, tuple(self.SUBSCRIPTIONS), {"a": "b"}) is plan
        others = [
            table.socket_plan(RouteTerms(key="k"), self.SUBSCRIPTIONS, {"a": "b"}),
            table.socket_plan(ROUTE, self.SUBSCRIPTIONS[:1], {"a": "b"}),
            table.socket_plan(ROUTE, (Subscription("c"), Subscription("d")), {"a": "b"}),
            table.socket_plan(ROUTE, self.SUBSCRIPTIONS, {"a": None}),
            table.plan(make_instruct(STREAM, *self.SUBSCRIPTIONS, meta={"a": "b"}), ROUTE)[0],
        ]
        assert len({id(plan), *map(id, others)}) == len(table) == 6
        del plan, others
        gc.collect()
        assert len(table) == 0
