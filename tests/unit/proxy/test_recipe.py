"""When a client is held like the one before."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
from tests.unit.push.helpers import HTTP10, HTTP11, World, make_instruct
from tests.unit.routing.helpers import make_rule

from holdfast.grip.values import HoldMode
from holdfast.proxy.recipe import Recipe
from holdfast.proxy.reply import WholeReply
from holdfast.push.outlet import Framing
from holdfast.push.plan import HoldPlan
from holdfast.routing.rules import Rule, Target
from holdfast.wire.headers import Headers

HEADERS: Headers = [(b"Grip-Hold", b"stream")]
BODY = b"welcome"
RULE = make_rule("* 127.0.0.1:80,sub=a 127.0.0.1:81,sub=b")


@pytest.fixture
def plan() -> HoldPlan:
    return World().plan(make_instruct(HoldMode.STREAM, "c"))


@pytest.fixture
def recipe(plan: HoldPlan) -> Recipe:
    return Recipe(HEADERS, BODY, RULE, RULE.targets[0], HTTP11, weakref.ref(plan), b"first", 3, 2)


def ask(
    recipe: Recipe,
    headers: Headers = HEADERS,
    body: bytes = BODY,
    rule: Rule = RULE,
    target: Target = RULE.targets[0],
    framing: Framing = HTTP11,
) -> HoldPlan | None:
    return recipe.plan_for(WholeReply(200, b"OK", headers, b"", None), body, rule, target, framing)


def test_the_same(recipe: Recipe, plan: HoldPlan) -> None:
    assert ask(recipe) is plan
    assert ask(recipe, body=bytes(bytearray(BODY))) is plan


def test_anything_else(recipe: Recipe) -> None:
    """Headers that look the same do not come from the same head."""
    assert ask(recipe, headers=list(HEADERS)) is None
    assert ask(recipe, body=b"Welcome") is None
    assert ask(recipe, rule=replace(RULE)) is None
    assert ask(recipe, target=RULE.targets[1]) is None
    assert ask(recipe, framing=HTTP10) is None


def test_it_does_not_keep_the_plan() -> None:
    plan = World().plan(make_instruct(HoldMode.STREAM, "c"))
    recipe = Recipe(HEADERS, BODY, RULE, RULE.targets[0], HTTP11, weakref.ref(plan), b"first", 3, 2)
    del plan
    assert ask(recipe) is None
