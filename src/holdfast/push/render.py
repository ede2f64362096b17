"""An item as one hold gets it: content filters checked, filters applied, body patched (grip spec §10.5, §11, §12).

Rendering is a generator, because a filter may ask the network: it yields the question and is sent the verdict. `render`
runs one whose filters ask nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import TypeAlias, TypeVar

from holdfast.errors import GripError
from holdfast.grip.filters import FilterContext, FilterError, Filtering, Question, Verdict, lets_pass, message_filtering
from holdfast.grip.item import Action, Item, ResponseFormat
from holdfast.grip.patch import apply_body_patch
from holdfast.grip.responses import published_response
from holdfast.grip.values import BackendResponse
from holdfast.push.plan import HoldPlan

ORIGIN_ERROR = "Error while proxying to origin."

ResultT = TypeVar("ResultT")
Rendering: TypeAlias = Generator[Question, Verdict, ResultT]


class ItemSkipped(Exception):
    """The item is not delivered to this hold.

    Attributes:
        is_failure: something went wrong; otherwise a filter dropped the item on purpose.
        is_fatal: the hold must end with an error, in debug mode or not.
    """

    def __init__(self, text: str = "", *, is_failure: bool = False, is_fatal: bool = False) -> None:
        super().__init__(text)
        self.is_failure = is_failure
        self.is_fatal = is_fatal

    def as_response(self, is_debug: bool) -> BackendResponse:
        """The answer for a response hold that ends because of it (grip spec §5.10)."""
        text = str(self) if is_debug else ORIGIN_ERROR
        return BackendResponse(502, b"Bad Gateway", [(b"Content-Type", b"text/plain")], f"{text}\n".encode())


def render(rendering: Rendering[ResultT]) -> ResultT:
    """The result of a rendering whose filters ask nothing. Raises ItemSkipped."""
    try:
        question = next(rendering)
    except StopIteration as done:
        result: ResultT = done.value
        return result
    raise AssertionError(f"a filter asks the network about {question.context.channel}")


def stream_rendering(plan: HoldPlan, channel: str, item: Item, prev_ids: Mapping[str, str]) -> Rendering[bytes]:
    """The bytes that a stream hold appends for `item`, maybe none. Filters run for `close` and `hint` too.

    Args:
        prev_ids: of the hold as it is now, per full channel name.

    Raises:
        ItemSkipped: nothing is appended, and nothing else happens.
    """
    fmt = item.http_stream
    assert fmt is not None
    return (yield from _filtering(plan, channel, item, fmt.content, fmt.content_filters, prev_ids))


def message_rendering(plan: HoldPlan, channel: str, item: Item) -> Rendering[bytes]:
    """The content of the message that a WebSocket gets for `item`. Filters run for `close` and `refresh` too.

    Raises:
        ItemSkipped: nothing is sent, and nothing else happens.
    """
    fmt = item.ws_message
    assert fmt is not None
    return (yield from _filtering(plan, channel, item, fmt.content, fmt.content_filters, plan.prev_ids))


def response_rendering(
    plan: HoldPlan, channel: str, item: Item, fmt: ResponseFormat, prev_ids: Mapping[str, str]
) -> Rendering[BackendResponse | None]:
    """The response that `item` makes of the kept one; None when it makes none. Filters run for hints too.

    Args:
        prev_ids: of the hold as it is now, per full channel name.

    Raises:
        ItemSkipped: the hold goes on, or ends with an error.
    """
    if fmt.action is Action.HINT:
        yield from _filtering(plan, channel, item, b"", fmt.content_filters, prev_ids)
    if fmt.action is not Action.SEND:
        return None
    assert plan.kept is not None
    try:
        body = apply_body_patch(plan.kept.body, fmt.body_patch) if fmt.body_patch is not None else fmt.body or b""
    except GripError as exc:
        raise ItemSkipped(str(exc), is_failure=True, is_fatal=True) from exc
    content = yield from _filtering(plan, channel, item, body, fmt.content_filters, prev_ids)
    return published_response(plan.kept, fmt, content)


def _filtering(
    plan: HoldPlan,
    channel: str,
    item: Item,
    content: bytes,
    wanted: tuple[str, ...] | None,
    prev_ids: Mapping[str, str],
) -> Rendering[bytes]:
    if wanted is not None and wanted != plan.content_filters(channel):
        ours = ",".join(plan.content_filters(channel))
        raise ItemSkipped(
            f"content filter mismatch: subscription={ours} message={','.join(wanted)}",
            is_failure=True,
        )
    names = plan.filters.get(channel)
    if not names:
        return content
    filtering: Filtering = message_filtering(names, _context(plan, channel, item, prev_ids), content)
    try:
        filtered = yield from filtering
    except FilterError as exc:
        raise ItemSkipped(str(exc), is_failure=True) from exc
    if filtered is None:
        raise ItemSkipped
    return filtered


def passes_whole(plan: HoldPlan, channel: str, items: Iterable[Item]) -> bool:
    """Whether the filters of all holds with this plan leave the items as they are."""
    names = plan.filters.get(channel, ())
    return all(lets_pass(names, _context(plan, channel, item, {})) for item in items)


def _context(plan: HoldPlan, channel: str, item: Item, prev_ids: Mapping[str, str]) -> FilterContext:
    return FilterContext(
        hold_meta=plan.meta,
        item_meta=item.meta,
        channels=plan.bare_channels,
        prev_ids={plan.bare_name(name): prev_id for name, prev_id in prev_ids.items()},
        channel=plan.bare_name(channel),
        item_id=item.id,
    )
