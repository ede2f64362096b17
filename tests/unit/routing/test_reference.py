"""References to URIs in the answers of backends (RFC 3986 §5, grip spec §3.8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.routing.reference import resolve_reference
from holdfast.routing.uri import ClientUri, has_dot_segment, parse_client_uri

BASE = parse_client_uri(b"/a/b?c=d", b"h.com:81", is_tls=False)
TLS = parse_client_uri(b"/a/b", b"h.com", is_tls=True)

REFERENCES = [
    ("/n", "http://h.com:81/n"),
    ("n", "http://h.com:81/a/n"),
    ("n?x=1", "http://h.com:81/a/n?x=1"),
    ("./n", "http://h.com:81/a/n"),
    ("../n", "http://h.com:81/n"),
    ("../../../n", "http://h.com:81/n"),
    ("?x=1", "http://h.com:81/a/b?x=1"),
    ("", "http://h.com:81/a/b?c=d"),
    ("/n?", "http://h.com:81/n?"),
    ("/n?a?b", "http://h.com:81/n?a?b"),
    ("/n#fragment", "http://h.com:81/n"),
    ("/n#fragment?x", "http://h.com:81/n"),
    ("/n?x#fragment", "http://h.com:81/n?x"),
    ("#fragment", "http://h.com:81/a/b?c=d"),
    ("//other/n", "http://other/n"),
    ("//other", "http://other/"),
    ("http://other:80/n", "http://other/n"),
    ("http://OTHER/N", "http://other/N"),
    ("https://other/n", "https://other/n"),
    ("https://other:443/n", "https://other/n"),
    ("https://other:80/n", "https://other:80/n"),
    ("HTTP://other/n", "http://other/n"),
    ("http://[::1]:8000/n", "http://[::1]:8000/n"),
    ("http://other?x", "http://other/?x"),
    ("/a/%2e%2e/n", "http://h.com:81/n"),
    ("/a b", "http://h.com:81/a%20b"),
    ("/é", "http://h.com:81/%C3%A9"),
    ('/n?x="y"', "http://h.com:81/n?x=%22y%22"),
    ("/n\r\nX: y", "http://h.com:81/nX:%20y"),
    ("/a:b", "http://h.com:81/a:b"),
    ("/n;p=1", "http://h.com:81/n;p=1"),
    ("/n;", "http://h.com:81/n;"),
    (";", "http://h.com:81/a/;"),
    ("?", "http://h.com:81/a/b?"),
    ("http:///n", "http://h.com:81/n"),
    ("http:n", "http://h.com:81/a/n"),
]


@pytest.mark.parametrize(("reference", "expected"), REFERENCES)
def test_references(reference: str, expected: str) -> None:
    assert resolve_reference(BASE, reference).text == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("/n", "https://h.com/n"), ("//other/n", "https://other/n"), ("http://h.com/n", "http://h.com/n")],
)
def test_references_of_an_encrypted_base(reference: str, expected: str) -> None:
    assert resolve_reference(TLS, reference).text == expected


BAD = [
    "ftp://h/n",
    "javascript:alert(1)",
    "mailto:a@h",
    "n:1",
    "https:n",
    "http://[::1/n",
    "http://[x]/n",
    "http://a@h/n",
    "http://a:b@h/n",
    "http://h:99999/n",
    "http://h:x/n",
    "http://h /n",
    "http://h\u2100/n",
    "/" + "n" * 5000,
]


@pytest.mark.parametrize("reference", BAD)
def test_what_cannot_be_requested(reference: str) -> None:
    with pytest.raises(WireError):
        resolve_reference(BASE, reference)


bases = st.sampled_from([BASE, TLS])
words = st.lists(st.sampled_from([*"/.?#:@[]%\\ n", "..", "//", "http:", "%2e", "h", "\r\n", "é"]), max_size=8)


@given(bases, words.map("".join) | st.text())
def test_any_reference_is_clean_or_refused(base: ClientUri, reference: str) -> None:
    """Nothing that a client could not have asked for: and what it is resolved to means itself."""
    try:
        uri = resolve_reference(base, reference)
    except WireError:
        return
    assert uri.path.startswith(b"/") and not has_dot_segment(uri.path)
    assert uri.scheme in ("http", "https")
    assert not set(uri.path_and_query) & set(b'#" \r\n\t\\<>')
    assert resolve_reference(base, uri.text) == uri
