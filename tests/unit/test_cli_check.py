"""The command line of `holdfast check`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.harness.tls import Certificate, make_certificate

from holdfast import cli_check

CONFIG = "[runner]\nhttp_port=80,[::1]:81\n[handler]\npush_in_http_addr=127.0.0.1\npush_in_http_port=5561\n"
ROUTES = """\
* localhost:80
a.com,path_beg=/abc,replace_beg=/x h:80,host=t.com:9 [::1]:81,ssl :82 test
,id=byid C:1
"""


class Place:
    """A directory with a configuration and routes, and the program run in it."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys
        self.write(CONFIG, ROUTES)

    def write(self, config: str, routes: str | None) -> None:
        (self.directory / "p.conf").write_text(config)
        if routes is not None:
            (self.directory / "routes").write_text(routes)

    def check(self, *argv: str, environ: dict[str, str] | None = None) -> tuple[int, list[str], list[str]]:
        """Exit code, and the lines of output and errors with the directory taken out."""
        code = cli_check.run(["--config", f"{self.directory}/p.conf", *argv], "holdfast check", environ or {})
        out, err = (text.replace(f"{self.directory}/", "") for text in self._capsys.readouterr())
        return code, out.splitlines(), err.splitlines()


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, capsys)


HEAD = [
    "configuration: p.conf",
    "clients: 0.0.0.0:80, [::1]:81",
    "publishing over HTTP: 127.0.0.1:5561",
    "routes: routes, 3 entries",
]


def test_all_is_well(place: Place) -> None:
    assert place.check() == (0, HEAD, [])


def test_where_a_url_goes(place: Place) -> None:
    """Golden."""
    code, out, err = place.check("http://A.com:80/abc/d?e")
    assert (code, err) == (0, [])
    assert out[len(HEAD) :] == [
        "",
        "http://a.com/abc/d?e",
        "  rules for a.com: 1; those for * are not considered",
        "  routes:2 a.com,path_beg=/abc: fits",
        "  route: routes:2 (id a.com,*,*,/abc), targets: h:80 [::1]:81 :82 test",
        "  1. h:80: http://t.com:9/x/d?e",
        "  2. [::1]:81: https://a.com/x/d?e",
        "  3. a.com:80: http://a.com/x/d?e",
        "  4. test: http://a.com/x/d?e",
    ]


@pytest.mark.parametrize(
    ("url", "shown", "last"),
    [
        ("wss://b.com:8443", "wss://b.com:8443/", "  1. localhost:80: ws://b.com:8443/"),
        ("https://b.com?q#f", "https://b.com/?q", "  1. localhost:80: http://b.com/?q"),
        ("HTTP://[::1]:9/a/../b", "http://[::1]:9/b", "  1. localhost:80: http://[::1]:9/b"),
    ],
)
def test_urls(place: Place, url: str, shown: str, last: str) -> None:
    code, out, err = place.check(url)
    assert (code, err) == (0, [])
    assert out[len(HEAD) + 1] == shown
    assert out[-1] == last


def test_a_url_without_a_route_fails(place: Place) -> None:
    code, out, err = place.check("http://a.com/x")
    assert (code, err) == (1, ["error: http://a.com/x: no route"])
    assert out[-2:] == ["  routes:2 a.com,path_beg=/abc: does not fit, the path begins otherwise", "  no route"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("a.com", "a.com: not an http, https, ws or wss URL"),
        ("http://a.com/ü", "http://a.com/ü: not an http, https, ws or wss URL"),
        ("http://u@a.com/", "http://u@a.com/: answered with 400: Failed to parse request: invalid host"),
    ],
)
def test_bad_urls(place: Place, url: str, text: str) -> None:
    code, out, err = place.check(url)
    assert (code, out, err) == (1, HEAD, [f"error: {text}"])


def test_a_path_that_its_route_makes_invalid(place: Place) -> None:
    place.write(CONFIG, "a.com,path_beg=/a,replace_beg=/b/ h:80\n")
    code, _, err = place.check("http://a.com/a../c")
    assert code == 1
    assert err == ["error: http://a.com/a../c: answered with 400: Request path is not valid for its route."]


def test_what_a_url_asks_for_by_jsonp(place: Place) -> None:
    """With `aco`, or `auto_cross_origin` for all routes; WebSockets have no part in it."""
    place.write(CONFIG + "[proxy]\nauto_cross_origin=true\n", "a.com,jsonp_cb=cb h:80\n")
    code, out, err = place.check("http://a.com/p?x=1&cb=show&_method=PUT", "ws://a.com/p?cb=show")
    assert (code, err) == (0, [])
    assert [line for line in out if "JSON-P" in line or "h:80: " in line] == [
        "  JSON-P: PUT for 'show'",
        "  1. h:80: http://a.com/p?x=1",
        "  1. h:80: ws://a.com/p?cb=show",
    ]
    code, _, err = place.check("http://a.com/p?cb=")
    assert (code, err) == (1, ["error: http://a.com/p?cb=: answered with 400: Invalid callback parameter."])


def test_route_ids(place: Place) -> None:
    code, out, _ = place.check("--id=byid", "http://a.com/abc")
    assert code == 0
    assert out[len(HEAD) + 2] == "  Pushpin-Route is not looked at, since accept_pushpin_route is off"
    assert out[-4] == "  1. h:80: http://t.com:9/x"
    code, out, _ = place.check("--id=byid", "http://a.com/abc", environ={"HOLDFAST_PROXY_ACCEPT_PUSHPIN_ROUTE": "1"})
    assert code == 0
    assert out[-1] == "  1. C:1: http://a.com/abc"


def test_lines_that_are_dropped_fail(place: Place) -> None:
    place.write(CONFIG, "* h:80\nbad\n* h:81\na.com,sig_key=file:none h:80\n")
    code, out, err = place.check()
    assert code == 1
    assert out[-1] == "routes: routes, 2 entries"
    assert err[0].startswith("warning: routes:4: sig_key not used, the default is: cannot read key file none: ")
    assert err[1:] == [
        "error: routes:2: must specify condition and at least one target",
        "error: routes:3 skipping duplicate condition",
    ]


def test_lines_of_the_command_line(place: Place) -> None:
    code, out, err = place.check("--route", "* h:80", "--route", "bad")
    assert (code, out[-1]) == (1, "routes: command line, 1 entry")
    assert err == ["error: <route>:1: must specify condition and at least one target"]


def test_zeromq_targets(place: Place) -> None:
    place.write(CONFIG, "* zhttpreq/ipc://r,ssl zhttp/tcp://127.0.0.1:10000\n")
    code, out, _ = place.check("http://a.com/p", "ws://a.com/p")
    assert code == 0
    sockets = "PUSH, ROUTER, SUB at tcp://127.0.0.1:10000, tcp://127.0.0.1:10001, tcp://127.0.0.1:10002"
    assert [line for line in out if line.startswith(("  1. ", "  2. "))] == [
        "  1. zhttpreq/ipc://r: https://a.com/p",
        f"  2. zhttp/tcp://127.0.0.1:10000 ({sockets}): http://a.com/p",
        "  1. zhttpreq/ipc://r: wss://a.com/p",
        f"  2. zhttp/tcp://127.0.0.1:10000 ({sockets}): ws://a.com/p",
    ]


def test_routes_need_no_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("holdfast.config.load.Path.is_file", lambda _: False)
    assert cli_check.run(["--route", "* h:80"], "holdfast check", {}) == 0
    assert capsys.readouterr().out.startswith("configuration: built in, no file\nclients: 0.0.0.0:7999\n")


def test_every_problem_of_the_configuration_is_shown(place: Place) -> None:
    place.write("[proxy]\ndebgu=1\n[runner]\nhttp_port=x\nhttps_ports=y\n", None)
    code, out, err = place.check()
    assert (code, out) == (1, [])
    assert [line.split(": ")[:3] for line in err] == [
        ["warning", "p.conf:2", "unknown setting proxy/debgu; did you mean debug?"],
        ["error", "p.conf:4", "runner/http_port"],
        ["error", "p.conf:5", "runner/https_ports"],
    ]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (CONFIG + "[proxy]\nroutesfile=none\n", "error: unable to open routes file: none: No such file or directory"),
        (CONFIG + "[proxy]\nsig_key=base64:?\n", "error: proxy/sig_key: the text after base64: is not base64"),
        (
            CONFIG + "[proxy]\nupstream_key=base64:?\n",
            "error: proxy/upstream_key: the text after base64: is not base64",
        ),
    ],
)
def test_what_else_stops_it(place: Place, config: str, text: str) -> None:
    place.write(config, ROUTES)
    assert place.check() == (1, HEAD[:3], [text])


def test_no_configuration_file(place: Place) -> None:
    (place.directory / "p.conf").unlink()
    assert place.check() == (1, [], ["error: no configuration file found. Tried: p.conf"])


def test_wrong_usage(place: Place) -> None:
    code, out, err = place.check("--nonsense")
    assert (code, out, err[0]) == (1, [], "error: unrecognized arguments: --nonsense")


def test_help(place: Place) -> None:
    code, out, err = place.check("-h")
    assert (code, err) == (0, [])
    assert out[0].startswith("usage: holdfast check ")


def test_parameters_that_do_not_exist(place: Place) -> None:
    """The server ignores them as Pushpin does; here they are named, of lines that work."""
    place.write(CONFIG, '* h:80,over-http\r\na.com,zzz="\n')
    code, _, err = place.check()
    assert (code, err) == (
        1,
        [
            "warning: routes:1: unknown parameter over-http is ignored; did you mean over_http?",
            "error: routes:2: unterminated quoted section",
        ],
    )
    code, _, err = place.check("--route", "* h:80,debug")
    assert (code, err) == (0, ["warning: <route>:1: unknown parameter debug is ignored; it belongs after the host"])


def test_ports_and_certificates(place: Place) -> None:
    """How many there are, which cannot be used, and for how long the others are valid."""
    place.write("[runner]\nhttps_ports=443\nlocal_ports=/run/h?mode=660,/run/i\n", "* h:80\n")
    code, out, err = place.check()
    assert (code, err) == (1, ["error: no certificates in runner/certs: no TLS client can connect"])
    assert out[1:4] == [
        "clients by TLS: 0.0.0.0:443",
        "clients on Unix sockets: /run/h, /run/i",
        "certificates: runner/certs, 0 pairs",
    ]
    directory = place.directory / "runner" / "certs"
    directory.mkdir(parents=True)
    make_certificate("x").write(directory, "a.good")
    make_certificate("x", days=13).write(directory, "b.ends-soon")
    make_certificate("x", days=-1).write(directory, "c.over")
    make_certificate("x", begins_in_days=2).write(directory, "d.early")
    Certificate(make_certificate("x").crt, make_certificate("x").key).write(directory, "e.other-key")
    Certificate(b"nothing", b"nothing").write(directory, "f.empty")
    make_certificate("x").write(directory, "g.no-key")[1].unlink()
    code, out, err = place.check()
    assert (code, out[3]) == (1, "certificates: runner/certs, 7 pairs")
    assert [re.sub(r"\d{4}-\d\d-\d\d", "DAY", line.removeprefix("runner/certs/")) for line in err] == [
        "warning: runner/certs/b.ends-soon.crt: expires on DAY",
        "warning: runner/certs/c.over.crt: expired on DAY",
        "warning: runner/certs/d.early.crt: not valid before DAY",
        "error: runner/certs/e.other-key.crt: key values mismatch",
        "error: runner/certs/f.empty.crt: PEM lib",
        "error: runner/certs/g.no-key.key: No such file or directory",
    ]
    for name in ("e.other-key", "f.empty", "g.no-key"):
        (directory / f"{name}.crt").unlink()
    assert place.check()[0] == 0
