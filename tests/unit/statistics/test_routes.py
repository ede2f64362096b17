"""What is counted for each route, and when there is nothing to report."""

from __future__ import annotations

from holdfast.statistics.routes import RouteCounts, Routes, SecondHand
from holdfast.wire.statistics import Report, Traffic


def make_counts() -> RouteCounts:
    return RouteCounts("r", SecondHand())


def reported(counts: RouteCounts) -> Report:
    report = counts.report(1000)
    assert report is not None
    return report


def pass_time(routes: Routes, since_s: int, until_s: int) -> None:
    for second in range(since_s + 1, until_s + 1):
        routes.move_hand(second)


class TestConnections:
    def test_the_most_in_the_interval(self) -> None:
        counts = make_counts()
        ends = [counts.begin() for _ in range(3)]
        counts.end(ends[0])
        assert (counts.connections, counts.requests) == (2, 3)
        assert reported(counts).connections == 3
        assert reported(counts).connections == 2  # nobody came or left since
        counts.end(ends[1])
        counts.begin()
        assert reported(counts).connections == 2

    def test_minutes(self) -> None:
        """One with the beginning of a connection, and one more for each further minute."""
        routes = Routes()
        counts = routes.find("r")
        started = counts.begin()
        pass_time(routes, 0, 30)
        later = counts.begin()
        assert reported(counts).minutes == 2
        pass_time(routes, 30, 59)
        assert reported(counts).minutes == 0
        pass_time(routes, 59, 60)
        assert reported(counts).minutes == 1
        pass_time(routes, 60, 119)
        assert reported(counts).minutes == 1
        counts.end(started)
        pass_time(routes, 119, 150)
        assert reported(counts).minutes == 1
        counts.end(later)
        pass_time(routes, 150, 300)
        assert reported(counts).minutes == 0


def test_activity_is_taken_once() -> None:
    counts = make_counts()
    counts.begin()
    counts.activity += 2
    assert [counts.take_activity(), counts.take_activity()] == [3, 0]
    counts.begin()
    assert (counts.take_activity(), counts.requests) == (1, 2)


class TestReports:
    def test_what_came_since_the_last_one(self) -> None:
        counts = make_counts()
        counts.received, counts.sent, counts.http_response_sent = 5, 4, 3
        counts.blocks_received, counts.blocks_sent = 2, 1
        counts.client.header_bytes_received = 1
        counts.client.header_bytes_sent = 2
        counts.client.content_bytes_received = 3
        counts.client.content_bytes_sent = 4
        counts.client.messages_received = 5
        counts.client.messages_sent = 6
        counts.server.messages_sent = 7
        assert counts.report(9) == Report(
            route="r",
            connections=0,
            minutes=0,
            received=5,
            sent=4,
            http_response_sent=3,
            blocks_received=2,
            blocks_sent=1,
            duration_ms=9,
            client=Traffic(1, 2, 3, 4, 5, 6),
            server=Traffic(messages_sent=7),
        )
        report = reported(counts)
        assert (report.received, report.blocks_received, report.client) == (0, None, Traffic())
        assert (counts.received, counts.client.value()) == (5, Traffic(1, 2, 3, 4, 5, 6))  # all of it

    def test_one_report_of_nothing_and_then_none(self) -> None:
        counts = make_counts()
        assert counts.report(1) is None
        counts.end(counts.begin())
        assert reported(counts).minutes == 1
        assert reported(counts).minutes == 0
        assert counts.report(1) is None
        counts.server.content_bytes_received = 1
        assert reported(counts).server == Traffic(content_bytes_received=1)

    def test_a_route_with_somebody_is_reported(self) -> None:
        counts = make_counts()
        counts.begin()
        assert [reported(counts).connections for _ in range(3)] == [1, 1, 1]


class TestRoutes:
    def test_by_name(self) -> None:
        routes = Routes()
        assert routes.find("") is routes.unnamed
        one = routes.find("one")
        assert routes.find("one") is one
        assert [counts.name for counts in routes] == [None, "one"]

    def test_what_is_not_used_is_forgotten(self) -> None:
        routes = Routes()
        one = routes.find("one")
        one.end(one.begin())
        routes.find("two").begin()
        routes.find("three")
        assert [report.route for report in routes.reports(1)] == ["one", "two"]
        assert [counts.name for counts in routes] == [None, "one", "two"]
        assert [report.route for report in routes.reports(1)] == ["one", "two"]
        assert [counts.name for counts in routes] == [None, "two"]

    def test_a_configured_route_is_not_forgotten(self) -> None:
        routes = Routes()
        routes.configure(["one"])
        one, two = routes.find("one"), routes.find("two")
        two.begin()
        routes.configure(iter(["two"]))
        one.begin()
        routes.forget_unused()
        assert [counts.name for counts in routes] == [None, "one", "two"]
        one.end(0)
        two.end(0)
        routes.forget_unused()
        assert [counts.name for counts in routes] == [None, "two"]
        assert routes.find("two") is two
