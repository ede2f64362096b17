"""Single connections: who gets an id and when, and that they are named again in time."""

from __future__ import annotations

from holdfast.statistics.connections import NAMED_PER_BEAT, Connections, Presence
from holdfast.statistics.routes import Mode, RouteCounts, SecondHand
from holdfast.wire.statistics import Connection, ConnectionGone, ConnectionType


class Client:
    def __init__(self, address: str = "10.0.0.1") -> None:
        self.client_address = address


class Office:
    """Connections with everything that is said of them. Seconds pass by `wait`."""

    def __init__(self, ttl_s: int = 8, *, is_wanted: bool = True) -> None:
        self.route = RouteCounts("r", SecondHand())
        self.said: list[Connection | ConnectionGone] = []
        self.connections = Connections("i", ttl_s, self.said.append)
        self.connections.is_wanted = is_wanted
        self.now_s = 0

    def begin(
        self,
        connection_id: str | None = None,
        address: str = "10.0.0.1",
        kind: ConnectionType = ConnectionType.HTTP,
    ) -> Presence:
        presence = Presence(self.route, self.route.begin(), kind, Client(address), is_tls=False, id=connection_id)
        self.connections.begin(presence)
        return presence

    def wait(self, seconds: int = 1) -> list[str]:
        """The ids that are named meanwhile."""
        self.said.clear()
        for _ in range(seconds):
            self.now_s += 1
            self.connections.move_hand(self.now_s)
            self.connections.name_due()
        return [packet.id for packet in self.said]


def test_a_connection_comes_and_goes() -> None:
    office = Office()
    presence = office.begin()
    office.connections.end(presence)
    assert office.said == [
        Connection("r", "i:1", ConnectionType.HTTP, "10.0.0.1", False, 8),
        ConnectionGone("r", "i:1"),
    ]
    assert (office.route.connections, len(office.connections)) == (0, 0)


def test_a_peer_without_an_address() -> None:
    office = Office()
    office.begin(address="")
    (packet,) = office.said
    assert isinstance(packet, Connection)
    assert packet.peer_address is None


def test_it_is_named_again_with_its_hand_over() -> None:
    office = Office()
    presence = office.begin()
    office.connections.begin(presence)
    assert [packet.id for packet in office.said] == ["i:1", "i:1"]
    assert len(office.connections) == 1


def test_one_that_was_never_named() -> None:
    office = Office()
    kind = ConnectionType.HTTP
    office.connections.end(Presence(office.route, office.route.begin(), kind, Client(), is_tls=False))
    assert (office.said, office.route.connections) == ([], 0)


def test_it_exists_while_it_is_there() -> None:
    office = Office()
    presence = office.begin()
    assert office.connections.exists("i:1")
    assert not office.connections.exists("i:2")
    office.connections.end(presence)
    assert not office.connections.exists("i:1")


def test_websockets_are_told_from_others() -> None:
    office = Office()
    office.begin("http")
    kind = ConnectionType.WEBSOCKET
    office.connections.begin(Presence(office.route, office.route.begin(), kind, Client(), is_tls=True, id="ws"))
    found = [office.connections.find_websocket(name) is not None for name in ("http", "ws", "nobody")]
    assert found == [False, True, False]


class TestWhileNobodyWantsToKnow:
    def test_nothing_is_said_and_no_id_is_made(self) -> None:
        office = Office(is_wanted=False)
        presence = office.begin()
        assert office.wait(20) == []
        assert presence.id is None
        office.connections.end(presence)
        assert office.said == []

    def test_an_id_that_the_backend_knows_exists(self) -> None:
        office = Office(is_wanted=False)
        presence = office.begin("uuid")
        assert office.connections.exists("uuid")
        office.connections.end(presence)
        assert not office.connections.exists("uuid")
        assert office.said == []

    def test_who_is_there_is_named_when_somebody_wants_to_know(self) -> None:
        office = Office(is_wanted=False)
        presence = office.begin()
        office.connections.is_wanted = True
        assert office.wait(6) == ["i:1"]
        office.connections.end(presence)
        assert office.said[-1] == ConnectionGone("r", "i:1")

    def test_and_not_when_nobody_does_any_more(self) -> None:
        office = Office()
        office.begin()
        office.connections.move_hand(5)
        office.connections.is_wanted = False
        office.said.clear()
        office.connections.name_due()
        assert office.said == []


class TestAgain:
    def test_within_three_quarters_of_the_lifetime(self) -> None:
        office = Office(ttl_s=8)
        office.wait(3)
        office.begin()
        named_at = [second for second in range(20) if office.wait()]
        gaps = [later - earlier for earlier, later in zip([-1, *named_at], named_at, strict=False)]
        assert set(gaps) == {5}

    def test_a_short_lifetime(self) -> None:
        office = Office(ttl_s=1)
        office.begin()
        assert office.wait(2) == ["i:1", "i:1"]

    def test_not_who_has_left(self) -> None:
        office = Office()
        presence = office.begin()
        office.connections.move_hand(5)
        office.connections.end(presence)
        office.said.clear()
        office.connections.name_due()
        assert office.said == []

    def test_many_at_once_in_slices(self) -> None:
        office = Office()
        for _ in range(NAMED_PER_BEAT + 1):
            office.begin()
        assert len(office.wait(5)) == NAMED_PER_BEAT
        office.connections.name_due()
        assert len(office.said) == NAMED_PER_BEAT + 1


def test_how_many_are_websockets() -> None:
    office = Office(is_wanted=False)
    office.begin()
    websocket = office.begin(kind=ConnectionType.WEBSOCKET)
    office.connections.begin(websocket)  # handed over
    assert (office.route.connections, office.route.websockets) == (2, 1)
    office.connections.end(websocket)
    assert (office.route.connections, office.route.websockets) == (1, 0)


def test_what_holds_the_clients() -> None:
    office = Office(is_wanted=False)
    one, two = office.begin(), office.begin()
    office.connections.hold(one, Mode.STREAM)
    office.connections.hold(two, Mode.RESPONSE)
    office.connections.release(two)
    office.connections.release(two)
    office.connections.hold(two, Mode.RESPONSE)
    assert (office.route.holds[Mode.STREAM], office.route.holds[Mode.RESPONSE]) == (1, 1)
    office.connections.end(one)
    office.connections.end(two)
    assert not any(office.route.holds)
    assert (office.route.holds_opened[Mode.STREAM], office.route.holds_opened[Mode.RESPONSE]) == (1, 2)
