"""Finding and reading the configuration (routes spec §2.1, §2.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.config.given import Note
from holdfast.config.ini import parse_ini
from holdfast.config.listen import Listen
from holdfast.config.load import SEARCH_PATHS, Loaded, Overrides, load_settings
from holdfast.config.options import Status
from holdfast.config.reference import is_internal
from holdfast.config.settings import Settings
from holdfast.config.table import OPTIONS
from holdfast.errors import ConfigError

DEBIAN = Path("/etc/pushpin/pushpin.conf")
PORT = "[runner]\nhttp_port=80\n"

# What distributions ship, apart from comments.
SHIPPED = """\
[global]
include={libdir}/internal.conf
rundir=/var/run/pushpin
ipc_prefix=pushpin-
port_offset=0
stats_connection_ttl=120
stats_connection_send=true

[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port=7999
#https_ports=443
#local_ports={rundir}/{ipc_prefix}server
logdir=/var/log/pushpin
log_level=2
client_buffer_size=8192
client_maxconn=50000
allow_compression=false
condure_bin=condure
mongrel2_bin=mongrel2
m2sh_bin=m2sh
zurl_bin=zurl

[proxy]
routesfile=routes
debug=false
auto_cross_origin=false
accept_x_forwarded_protocol=false
set_x_forwarded_protocol=proto-only
x_forwarded_for=
x_forwarded_for_trusted=
orig_headers_need_mark=
accept_pushpin_route=false
cdn_loop=
log_from=false
log_user_agent=false
sig_iss=pushpin
sig_key=changeme
upstream_key=
sockjs_url=http://cdn.jsdelivr.net/sockjs/0.3.4/sockjs.min.js
updates_check=off
organization_name=

[handler]
#ipc_file_mode=777
push_in_spec=tcp://127.0.0.1:5560
push_in_sub_specs=tcp://127.0.0.1:5562
push_in_sub_connect=false
push_in_http_addr=127.0.0.1
push_in_http_port=5561
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{rundir}/{ipc_prefix}stats
command_spec=tcp://127.0.0.1:5563
message_rate=2500
message_hwm=25000
#message_block_size=
message_wait=5000
id_cache_ttl=60
update_on_first_subscription=true
connection_subscription_max=20
subscription_linger=60
stats_subscription_ttl=60
stats_report_interval=10
stats_format=tnetstring
"""
INTERNAL = """\
[proxy]
condure_in_specs=ipc://{rundir}/{ipc_prefix}condure-out
m2a_in_specs=ipc://{rundir}/{ipc_prefix}m2zhttp-out,ipc://{rundir}/{ipc_prefix}m2zws-out
zurl_out_specs=ipc:///var/run/zurl/zurl-in
handler_inspect_spec=ipc://{rundir}/{ipc_prefix}inspect
stats_spec=ipc://{rundir}/{ipc_prefix}proxy-stats
command_spec=ipc://{rundir}/{ipc_prefix}proxy-command
intreq_out_specs=ipc://{rundir}/{ipc_prefix}intreq-out

[handler]
proxy_inspect_spec=ipc://{rundir}/{ipc_prefix}inspect
proxy_stats_spec=ipc://{rundir}/{ipc_prefix}proxy-stats
condure_in_stream_specs=ipc://{rundir}/{ipc_prefix}condure-out-stream
proxy_intreq_in_specs=ipc://{rundir}/{ipc_prefix}intreq-out
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the test's directory: ``write("name", "text")``."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def load(path: Path | None, **options: object) -> Loaded:
    arguments: dict[str, object] = {"environ": {}, "overrides": Overrides(), "search": ()} | options
    return load_settings(None if path is None else str(path), **arguments)  # type: ignore[arg-type]


def assert_loads_as_shipped(loaded: Loaded) -> None:
    assert loaded.warnings == ()
    shipped, settings = Settings(), loaded.settings
    assert settings.runner == shipped.runner
    assert settings.proxy == shipped.proxy
    # without a file the doors over ZeroMQ stay closed
    assert settings.handler == replace(
        shipped.handler,
        push_in_spec="tcp://127.0.0.1:5560",
        push_in_sub_specs=("tcp://127.0.0.1:5562",),
        command_spec="tcp://127.0.0.1:5563",
        stats_spec=f"ipc://{settings.global_.rundir}/pushpin-stats",
    )


def test_the_shipped_files_load_unchanged(write: Write, tmp_path: Path) -> None:
    write("lib/internal.conf", INTERNAL)
    path = write("pushpin.conf", SHIPPED.replace("[global]", f"[global]\nlibdir={tmp_path}/lib"))
    loaded = load(path)
    assert_loads_as_shipped(loaded)
    assert loaded.settings.handler.stats_spec == "ipc:///var/run/pushpin/pushpin-stats"


@pytest.mark.skipif(not DEBIAN.is_file(), reason="needs Debian's pushpin package")
def test_the_installed_files_load_unchanged() -> None:
    assert Path("/usr/lib/pushpin/internal.conf").is_file()
    assert_loads_as_shipped(load(DEBIAN))


def test_a_file_is_looked_for_in_order(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SEARCH_PATHS[-2:] == ("/etc/holdfast/holdfast.conf", "/etc/pushpin/pushpin.conf")
    search = SEARCH_PATHS[:3]
    for name in reversed(search):
        write(name, PORT)
        loaded = load(None, search=search)
        assert loaded.config_path == Path(name)
        assert loaded.notes == (Note(logging.INFO, f"using config: {name}"),)
        assert loaded.base_dir == (tmp_path / name).parent
        assert loaded.routes_path == (tmp_path / name).parent / "routes"


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """routes-109."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(None, search=("config/pushpin.conf", "pushpin.conf", "x/pushpin.conf", "y/pushpin.conf"))
    text = "no configuration file found. Tried: config/pushpin.conf pushpin.conf x/pushpin.conf y/pushpin.conf"
    assert str(caught.value) == text


def test_a_named_file_must_be_there_even_if_none_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no configuration file found\. Tried: \S+/p\.conf$"):
        load(tmp_path / "p.conf", overrides=Overrides(needs_file=False))


def test_without_a_file_the_shipped_configuration_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(None, overrides=Overrides(needs_file=False))
    assert loaded == Loaded(Settings(), (), None, tmp_path)


def test_an_absolute_routes_file_stays(write: Write) -> None:
    assert load(write("p.conf", f"{PORT}[proxy]\nroutesfile=/a/routes\n")).routes_path == Path("/a/routes")


def test_command_line_beats_environment_beats_file_beats_include(write: Write) -> None:
    """routes-105: a key in the main file beats the include."""
    write("more.conf", "[proxy]\nsig_iss=include\nsig_key=include\ncdn_loop=include\nroutesfile=include\n")
    path = write("p.conf", f"[global]\ninclude=more.conf\n{PORT}[proxy]\nsig_iss=f\nsig_key=f\ncdn_loop=f\n")
    environ = {"HOLDFAST_PROXY_SIG_ISS": "e", "HOLDFAST_PROXY_SIG_KEY": "e"}
    loaded = load(path, environ=environ, overrides=Overrides(values={("proxy", "sig_iss"): "c"}))
    proxy = loaded.settings.proxy
    assert (proxy.sig_iss, proxy.sig_key, proxy.cdn_loop, proxy.routesfile) == ("c", "e", "f", "include")
    assert loaded.warnings == ()


def test_variables_are_replaced(write: Write) -> None:
    """routes-105."""
    path = write(
        "p.conf", f"[global]\nrundir=/r\nipc_prefix=q-\n{PORT}[handler]\nstats_spec=ipc://{{rundir}}/{{ipc_prefix}}s\n"
    )
    assert load(path).settings.handler.stats_spec == "ipc:///r/q-s"


def test_an_instance_id_moves_ports_and_sockets(write: Write) -> None:
    """routes-107, with what `--id=3` states."""
    values = {("global", "ipc_prefix"): "p3-", ("global", "port_offset"): "30"}
    path = write("p.conf", SHIPPED)
    loaded = load(path, overrides=Overrides(values=values))
    assert loaded.settings.publish_listen == Listen("127.0.0.1", 5591)
    assert loaded.settings.handler.push_in_spec == "tcp://127.0.0.1:5590"
    assert loaded.settings.handler.stats_spec == "ipc:///var/run/pushpin/p3-stats"


@pytest.mark.parametrize(
    ("include", "warning"),
    [
        ("", None),
        ("internal.conf", None),
        ("{libdir}/internal.conf", None),
        ("gone.conf", "included file {dir}/gone.conf does not exist"),
    ],
)
def test_a_missing_include_is_no_error(write: Write, tmp_path: Path, include: str, warning: str | None) -> None:
    path = write("p.conf", f"[global]\nlibdir={tmp_path}/lib\ninclude={include}\n{PORT}")
    assert load(path).warnings == (() if warning is None else (warning.format(dir=tmp_path),))


def test_the_bare_name_of_the_internal_file_is_the_one_in_libdir(write: Write, tmp_path: Path) -> None:
    write("internal.conf", "[proxy]\nsig_iss=beside\n")
    write("lib/internal.conf", "[proxy]\nsig_iss=lib\n")
    path = write("p.conf", f"[global]\nlibdir={tmp_path}/lib\ninclude=internal.conf\n{PORT}")
    assert load(path).settings.proxy.sig_iss == "lib"


def test_messages_name_the_included_file(write: Write, tmp_path: Path) -> None:
    write("more.conf", "[proxy]\ndebgu=1\n")
    path = write("p.conf", f"[global]\ninclude=more.conf\n{PORT}")
    assert load(path).warnings == (f"{tmp_path}/more.conf:2: unknown setting proxy/debgu; did you mean debug?",)


def test_the_old_rundir_counts(write: Write) -> None:
    loaded = load(write("p.conf", f"{PORT}rundir=/old\n[handler]\nstats_spec=ipc://{{rundir}}/s\n"))
    assert loaded.settings.global_.rundir == "/old"
    assert loaded.settings.handler.stats_spec == "ipc:///old/s"


def test_a_bad_value_in_global_is_told_once(write: Write) -> None:
    path = write("p.conf", f"[global]\nport_offset=-1\n{PORT}")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f'{path}:2: global/port_offset: "-1" is not a whole number from 0 to 65535'


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "p.conf"
    path.write_bytes(b"[x]\n\xff")
    with pytest.raises(ConfigError, match=r"^cannot read \S+/p\.conf: byte 4 is not UTF-8$"):
        load(path)


def test_a_file_that_cannot_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    path = write("p.conf", PORT)
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigError, match=r"^cannot read \S+/p\.conf: Permission denied$"):
        load(path)


@pytest.mark.skipif(not DEBIAN.is_file(), reason="needs Debian's pushpin package")
def test_every_line_of_the_installed_files_works_or_is_named() -> None:
    """What is not supported is a socket between Pushpin's processes, or in the notes, or says what holds anyway."""
    notes = " ".join(note.text for note in load(DEBIAN).notes)
    values = {
        key: value
        for path in (DEBIAN, Path("/usr/lib/pushpin/internal.conf"))
        for key, value in parse_ini(path.read_text(), str(path)).values.items()
    }
    assert len(values) > 70
    for key, value in values.items():
        option = OPTIONS[key]
        is_default = option.kind.parse(value.items) == option.default(has_file=True)
        assert option.status is Status.SUPPORTED or is_internal(option) or option.path in notes or is_default, option
