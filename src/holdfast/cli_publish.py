"""The command line of `holdfast publish`, and of its alias `pushpin-publish` (routes spec §5)."""

from __future__ import annotations

import argparse
import base64
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.cli_arguments import Parser, parse_or_report
from holdfast.control.publish_client import PublishError, parse_publish_url, publish, push
from holdfast.control.publish_item import (
    MAX_CODE,
    Action,
    PublishArguments,
    build_item,
    encode_publish_body,
    encode_publish_frame,
)
from holdfast.errors import GripError

DEFAULT_SPEC = "http://localhost:5561"
SPEC_VARIABLE = "GRIP_URL"

_USAGE_EXIT_CODE = 2
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


def main() -> int:
    """Run `pushpin-publish` with the arguments and the environment of the process and return its exit code."""
    return run(sys.argv[1:], "pushpin-publish", os.environ)


def run(argv: Sequence[str], prog: str, environ: Mapping[str, str]) -> int:
    """Publish what `argv` says and return the exit code: 0 published, 1 not published, 2 wrong usage."""
    arguments = parse_or_report(make_parser(prog), argv, _USAGE_EXIT_CODE)
    if isinstance(arguments, int):
        return arguments
    try:
        _publish(arguments, arguments.spec or environ.get(SPEC_VARIABLE) or DEFAULT_SPEC)
    except (PublishError, GripError) as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return 1
    print("Published")
    return 0


def make_parser(prog: str) -> Parser:
    """The parser of the command line."""
    parser = Parser(prog, "Publish a message to a GRIP proxy.")
    parser.add_version("-V", "--version")
    add = parser.add_argument
    add("channel", metavar="CHANNEL", help="channel to publish to")
    add("content", metavar="CONTENT", nargs="?", help="what to send, or @FILE for the bytes of a file")
    add("--id", metavar="ID", help="id of the message")
    add("--prev-id", metavar="ID", help="id of the message before it")
    add("--sender", metavar="S", help="meta variable sender")
    add("-M", "--meta", metavar="K=V", action="append", default=[], help="add a meta variable")
    add("--code", metavar="N", default="200", help="status of HTTP responses (default: 200)")
    add("-H", "--header", metavar='"K: V"', action="append", default=[], help="add a header to HTTP responses")
    add("--patch", action="store_true", help="CONTENT is a JSON patch of the response body")
    add("--hint", action="store_true", help="send no content, only that there is something new")
    add("--close", action="store_true", help="close streams and WebSocket connections")
    add("--no-seq", action="store_true", help="deliver at once, whatever the id of the message before it")
    add("--no-eol", action="store_true", help="add no newline to HTTP content")
    default = f"${SPEC_VARIABLE}, else {DEFAULT_SPEC}"
    add("--spec", metavar="SPEC", help=f"a URL, or tcp://HOST:PORT for ZeroMQ (default: {default})")
    add("-u", "--user", metavar="USER:PASS", help="basic authentication")
    add("-B", "--bearer", metavar="TOKEN", help="bearer authentication")
    return parser


def _publish(arguments: argparse.Namespace, spec: str) -> None:
    item = build_item(parse_arguments(arguments))
    authorization = _authorization(arguments.user, arguments.bearer)
    is_http = spec.startswith(("http:", "https:"))
    if not is_http and authorization is not None:
        raise PublishError("Authentication requires https")
    try:
        message = encode_publish_body(item) if is_http else encode_publish_frame(item)
    except UnicodeEncodeError as exc:
        raise PublishError("only CONTENT may be other than UTF-8") from exc
    except ValueError as exc:
        raise PublishError(f"patch content cannot be sent over ZeroMQ: {exc}") from exc
    if is_http:
        publish(parse_publish_url(spec), message, authorization)
    else:
        push(spec, message)


def parse_arguments(arguments: argparse.Namespace) -> PublishArguments:
    """What to publish.

    Raises:
        PublishError: an argument has a wrong form; with the texts of routes spec §5.
    """
    code = _parse_code(arguments.code)
    headers = tuple(_parse_pair(text, ":", 'header must be in the form "name: value"') for text in arguments.header)
    meta = dict(_parse_pair(text, "=", 'meta must be in the form "name=value"') for text in arguments.meta)
    action = Action.HINT if arguments.hint else Action.CLOSE if arguments.close else Action.SEND
    content, is_file = _read_content(arguments.content) if action is Action.SEND else (b"", False)
    return PublishArguments(
        channel=arguments.channel,
        action=action,
        content=content,
        has_newline=not (arguments.no_eol or is_file),
        is_patch=arguments.patch,
        code=code,
        headers=headers,
        id=arguments.id or None,
        prev_id=arguments.prev_id or None,
        meta=({"sender": arguments.sender} if arguments.sender else {}) | meta,
        is_unsequenced=arguments.no_seq,
    )


def _parse_code(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise PublishError(f'failed to parse code: "{text}" is not a number')
    code = int(text)
    if not 0 <= code <= MAX_CODE:
        raise PublishError(f"code must be an integer between 0 and {MAX_CODE}")
    return code


def _parse_pair(text: str, separator: str, error: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name:
        raise PublishError(error)
    return name, value.strip()


def _read_content(text: str | None) -> tuple[bytes, bool]:
    """The bytes to send, and whether they come from a file."""
    if text is None:
        raise PublishError("must specify content")
    if not text.startswith("@"):
        return os.fsencode(text), False
    name = text[1:]
    try:
        return Path(name).read_bytes(), True
    except OSError as exc:
        raise PublishError(f"can't read file {name}: {exc.strerror}") from exc


def _authorization(user: str | None, bearer: str | None) -> str | None:
    if user is not None and bearer is not None:
        raise PublishError("only one authentication method can be specified")
    if bearer is not None:
        return f"Bearer {bearer}"
    if user is None:
        return None
    if ":" not in user:
        raise PublishError('user must be in the form "user:pass"')
    return f"Basic {base64.b64encode(os.fsencode(user)).decode()}"
