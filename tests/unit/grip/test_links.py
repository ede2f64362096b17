from __future__ import annotations

import pytest

from holdfast.errors import GripError
from holdfast.grip.links import has_next_link, parse_links
from holdfast.grip.values import NextLink

LINKS: list[tuple[str, list[bytes], NextLink | None, str | None]] = [
    ("none", [], None, None),
    ("empty value", [b""], None, None),
    ("next", [b"</x>; rel=next"], NextLink("/x", 120), None),
    ("quoted rel", [b'</x>; rel="next"'], NextLink("/x", 120), None),
    ("parameter names ignore case", [b"</x>; REL=next; Timeout=5"], NextLink("/x", 5), None),
    ("timeout 0", [b"</x>; rel=next; timeout=0"], NextLink("/x", 0), None),
    ("gone", [b"</g>; rel=gone; timeout=abc"], None, "/g"),
    ("both in one line", [b"</x>; rel=next, </g>; rel=gone"], NextLink("/x", 120), "/g"),
    ("grip-27: the last counts", [b"</x>; rel=next, </y>; rel=next", b"</z>; rel=next"], NextLink("/z", 120), None),
    ("the last gone link counts", [b"</x>; rel=gone, </y>; rel=gone"], None, "/y"),
    ("grip-26: a link without parameters is ignored", [b"</x>"], None, None),
    ("so is one that is no link", [b"/x, oops"], None, None),
    ("unclosed quote", [b'oops; rel="next'], None, None),
    ("other rel", [b"</x>; rel=prev, </y>; rel, </z>; x=y"], None, None),
    ("other rel, not valid", [b"/x; rel=prev, <>; rel=Next, <a b>; x=y"], None, None),
    ("absolute", [b"<http://h:8080/x?a=b#c>; rel=next"], NextLink("http://h:8080/x?a=b#c", 120), None),
    ("IPv6 authority", [b"<//[::1]:80/>; rel=next"], NextLink("//[::1]:80/", 120), None),
    ("percent-encoded", [b"<%2Fx%20y>; rel=next"], NextLink("%2Fx%20y", 120), None),
    ("beyond ASCII", ["</é>; rel=next".encode()], NextLink("/%C3%A9", 120), None),
]


@pytest.mark.parametrize(
    ("lines", "next_link", "gone_link"), [case[1:] for case in LINKS], ids=[case[0] for case in LINKS]
)
def test_links(lines: list[bytes], next_link: NextLink | None, gone_link: str | None) -> None:
    assert parse_links(lines) == (next_link, gone_link)


ERRORS = [
    (b"/x; rel=next", "failed to parse Grip-Link value"),  # grip-26
    (b"<>; rel=next", "failed to parse Grip-Link value"),
    (b"</x; rel=next", "failed to parse Grip-Link value"),
    (b"<; rel=next", "failed to parse Grip-Link value"),
    (b"; rel=next", "failed to parse Grip-Link value"),
    (b"</a b>; rel=next", "Grip-Link contains invalid link"),
    (b"</x%zz>; rel=next", "Grip-Link contains invalid link"),
    (b"</x>y>; rel=next", "Grip-Link contains invalid link"),
    (b"<http://h:port/>; rel=next", "Grip-Link contains invalid link"),
    (b"<http://h:99999/>; rel=next", "Grip-Link contains invalid link"),
    (b"<http://[::1/>; rel=next", "Grip-Link contains invalid link"),
    (b"</a\r\nb>; rel=next", "Grip-Link contains invalid link"),
    (b"</\0>; rel=next", "Grip-Link contains invalid link"),
    (b"</x>; rel=next; timeout=abc", "failed to parse Grip-Link timeout value"),
    (b"</x>; rel=next; timeout=", "failed to parse Grip-Link timeout value"),
    (b"</x>; rel=next; timeout=-1", "Grip-Link timeout has invalid value"),
]


@pytest.mark.parametrize(("line", "text"), ERRORS, ids=[repr(line) for line, _ in ERRORS])
def test_errors(line: bytes, text: str) -> None:
    with pytest.raises(GripError) as caught:
        parse_links([line])
    assert str(caught.value) == text


def test_has_next_link_does_not_judge() -> None:
    assert has_next_link([b"</g>; rel=gone", b"oops; rel=next"])
    assert not has_next_link([b"</x>", b"</g>; rel=gone"])
    assert not has_next_link([])
