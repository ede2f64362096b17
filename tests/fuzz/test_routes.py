"""Any routes file: each line takes effect, or is reported by a text that can be logged; others take effect anyway."""

from __future__ import annotations

import re

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated_text
from tests.fuzz.targets import fuzz
from tests.unit.routing.helpers import load_raw

from holdfast.errors import RouteError
from holdfast.routing.lines import parse_line
from holdfast.routing.rules import Rule, TargetKind
from holdfast.wire.headers import is_one_line, is_token

SEEDS = [
    "* localhost:80",
    "*.example.com,path_beg=/a,proto=ws,ssl=yes h:80,ssl,host=x:8080 [::1]:8080,over_http",
    'a.b,id=x,prefix="p ,",header=X-A:b,sig_iss=me,sig_key=base64:AAAA,log_level=1 h:1,sub=ch,untrusted # comment',
    "*,path_beg=/a,replace_beg=/b,as_host=h:1,debug,no_grip test",
    "*,orig_headers,path_rem=3 zhttp/tcp://127.0.0.1:10000,ipc_file_mode=770 zhttpreq/ipc:///tmp/x",
    '"quoted \\" domain" h:80,client_cert=/a,client_key=/b,insecure,trust_connect_host,one_event',
    ",id=x h:80",
    "# comment",
    "",
]
TOKENS = [
    "=", ",", '"', '\\"', "\\", "#", " ", "\t", "\r", ":0", ":65535", ":65536", "[::1%x]", "[::", "*", "*.",
    "zhttp/", "tcp://", "ipc://", "sub=", "header=", "header=A:\x01", "header=A\r:b", "proto=", "ssl=", "path_beg=",
    "log_level=99999999999999999999", "\udcff", "é.example", "xn--a", "path_rem=-5", "." * 70, "a" * 64, "sockjs=x",
]  # fmt: skip
LINES = mutated_text(SEEDS, TOKENS).map(lambda text: text.replace("\n", " "))
GOOD = "good.example h:80"


@fuzz(LINES, examples=300)
def test_any_line(line: str) -> None:
    table, problems = load_raw(f"{line}\n{GOOD}")
    for problem in problems:
        str(problem).encode()
    rules = list(table)
    assert any(rule.domain == "good.example" for rule in rules)
    assert all(problem.line == 1 or "duplicate" in problem.text for problem in problems)
    for rule in rules:
        check(rule)
    try:
        sections = parse_line(line.removesuffix("\r"))
    except RouteError:
        assert problems
        return
    if sections is not None:
        again = parse_line(" ".join(spell(section.value, section.props) for section in sections))
        assert again == sections


def spell(value: str, props: tuple[tuple[str, str], ...]) -> str:
    return ",".join([quote(value), *(f"{quote(name)}={quote(text)}" for name, text in props)]) or '""'


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def check(rule: Rule) -> None:
    f"{rule}".encode()
    for name, value in rule.header_sets:
        assert is_token(name) and is_one_line(value)
    assert rule.path_rem >= 0
    assert rule.replace_beg is None or re.fullmatch(rb"[\x21-\x7e]*", rule.replace_beg)
    assert rule.log_level is None or rule.log_level >= 0
    assert rule.targets
    for target in rule.targets:
        assert target.kind is not TargetKind.HOST or 1 <= target.port <= 65535
        assert target.ipc_file_mode is None or 0 <= target.ipc_file_mode <= 0o777
        assert all(target.specs)


@fuzz(st.lists(LINES, max_size=4))
def test_a_line_does_not_change_what_others_mean(lines: list[str]) -> None:
    table, problems = load_raw("\n".join(lines))
    assert len(list(table)) <= len(lines)
    alone = sum(bool(list(load_raw(line)[0])) for line in lines)
    assert len(list(table)) + sum("duplicate" in problem.text for problem in problems) == alone
