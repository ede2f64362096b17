"""Any arguments: values that the settings take or refuse by name, or a usage error; never another exception."""

from __future__ import annotations

import contextlib

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated_text
from tests.fuzz.targets import fuzz

from holdfast import cli, cli_check, cli_options, cli_publish
from holdfast.cli_arguments import UsageError
from holdfast.config.given import Note, given_by_arguments
from holdfast.config.resolve import InvalidConfig, resolve
from holdfast.control.publish_client import PublishError, parse_publish_url
from holdfast.control.publish_item import build_item, encode_publish_body
from holdfast.errors import GripError
from holdfast.grip.item import parse_publish_body

SEEDS = [
    "7999", "127.0.0.1:7999", "[::1]:80", "3", "2,proxy:3", "0", "* h:80", "a", "K: V", "k=v", "user:pass",
    "@missing", "200", "9" * 5000,
]  # fmt: skip
TOKENS = [
    "-", "--", "=", ":", ",", "9" * 5000, "99999999999999999999", "-1", "\u0661", "\u00b2", "\udcff", "\n", "[",
    "]", "0",
]  # fmt: skip
# No argument can hold a NUL.
VALUES = mutated_text(SEEDS, TOKENS).map(lambda text: text.replace("\0", ""))
SERVER_FLAGS = st.sampled_from(
    ["--port", "--id", "--loglevel", "--verbose", "--route", "--config", "-m", "--nonsense", "--port=", "-"]
)  # fmt: skip
SERVER_LINES = st.lists(SERVER_FLAGS | VALUES, max_size=6)


@fuzz(SERVER_LINES, examples=200)
def test_any_line_of_the_server(argv: list[str]) -> None:
    parser = cli.make_parser()
    try:
        values = cli.override_values(parser.parse_args(argv))
    except UsageError as exc:
        assert str(exc)
        return
    except SystemExit:
        return
    try:
        resolve(given_by_arguments(values), has_file=True, notes=list[Note]())
    except InvalidConfig as exc:
        assert exc.problems


@fuzz(st.sampled_from(["--port", "--id", "--loglevel"]), VALUES, examples=200)
def test_any_value_of_the_server(flag: str, text: str) -> None:
    if text == "--":
        return  # argparse before Python 3.13 makes an empty list of it
    try:
        values = cli.override_values(cli.make_parser().parse_args([f"{flag}={text}"]))
    except UsageError:
        return
    try:
        resolve(given_by_arguments(values), has_file=True, notes=list[Note]())
    except InvalidConfig as exc:
        assert exc.problems


PUBLISH_FLAGS = st.sampled_from(
    ["--id", "--prev-id", "--sender", "-M", "--code", "-H", "--patch", "--hint", "--close", "--no-seq", "--no-eol",
     "--spec", "-u", "-B"]
)  # fmt: skip


@fuzz(st.lists(PUBLISH_FLAGS | VALUES, max_size=8), examples=200)
def test_any_line_of_the_publisher(argv: list[str]) -> None:
    """What can be published is accepted, unless a name or an id could not stand in a header."""
    try:
        arguments = cli_publish.make_parser("publish").parse_args(argv)
        body = encode_publish_body(build_item(cli_publish.parse_arguments(arguments)))
    except (UsageError, SystemExit, PublishError, GripError, UnicodeEncodeError):
        return
    try:
        parse_publish_body(body)
    except GripError as exc:
        assert "invalid value" in str(exc)


@fuzz(
    mutated_text(
        ["http://localhost:5561", "https://[::1]:80/base?x", "http://u:p@h"],
        ["/", ":", "@", "[", "?", "#", "9" * 30, "\udcff", "http:"],
    )
)
def test_any_url_to_publish_to(text: str) -> None:
    with contextlib.suppress(PublishError):
        parse_publish_url(text)


@fuzz(st.lists(VALUES, max_size=3))
def test_any_names_of_options(names: list[str]) -> None:
    assert isinstance(list(cli_options.describe(names)), list)


@fuzz(st.lists(st.sampled_from(["--config", "--route", "--json", "--nonsense"]) | VALUES, max_size=5))
def test_any_line_of_the_check(argv: list[str]) -> None:
    with contextlib.suppress(UsageError, SystemExit):
        cli_check.make_parser("check").parse_args(argv)
