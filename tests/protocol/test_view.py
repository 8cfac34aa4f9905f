"""The live view over real sockets: what is at which path, and what clients cannot do to the loop."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from host_model.clock import RealClock
from host_model.view.http import LONGEST_HEAD, Response, read_request
from host_model.view.server import ViewAddress, ViewServer, parse_view_address
from pvinfo.errors import SetupError, UsageError

HERE = ViewAddress("127.0.0.1", 0)
LARGE = bytes(range(256)) * 16384


class Counted:
    """Content of three pieces that notes when each is made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def piece(self, number: int) -> bytes | None:
        self.made.append(number)
        return b"%d" % number * 20 if number < 3 else None


class Loop:
    """A view that answers each path with itself, on a loop that a test steps."""

    def __init__(self, address: ViewAddress = HERE) -> None:
        self.selector = selectors.DefaultSelector()
        self.clock = RealClock()
        self.asked: list[str] = []
        self.counted = Counted()
        self.listen(address)

    def listen(self, address: ViewAddress = HERE) -> None:
        self.server = ViewServer(self.selector, self.clock, address, self._answer)

    def _answer(self, path: str) -> Response:
        self.asked.append(path)
        if path == "/large":
            return Response(LARGE, "image/png")
        if path == "/pieces":
            return Response(self.counted, "image/png")
        return Response(path.encode(), "text/plain", HTTPStatus.OK if path == "/" else HTTPStatus.NOT_FOUND)

    def step(self, timeout_s: float = 0.0) -> None:
        for key, events in self.selector.select(timeout_s):
            key.data(events)
        self.clock.run_due()

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.port))
        client.setblocking(False)
        return client

    def read(self, client: socket.socket) -> bytes:
        """All that comes until the server hangs up."""
        received = b""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.step(0.005)
            try:
                data = client.recv(1 << 20)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return received
            if not data:
                return received
            received += data
        raise AssertionError(f"no end after {received[:200]!r}")

    def exchange(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return self.read(client)

    def settle(self) -> None:
        deadline = time.monotonic() + 20
        while self.server.connections and time.monotonic() < deadline:
            self.step(0.005)
        assert self.server.connections == 0

    def close(self) -> None:
        self.server.close()
        self.selector.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = sorted(os.listdir("/proc/self/fd"))
    made = Loop()
    yield made
    made.close()
    assert sorted(os.listdir("/proc/self/fd")) == before, "the view left file descriptors open"


def get(path: str, *lines: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    version, status, _ = answer.split(b" ", 2)
    assert version == b"HTTP/1.1"
    return int(status)


# ---- what is answered ----


def test_a_request_is_answered_whole_with_what_keeps_other_pages_out(loop: Loop) -> None:
    answer = loop.exchange(get("/"))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 200 OK"
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert (fields[b"Content-Length"], content) == (b"1", b"/")
    assert fields[b"Connection"] == b"close"
    assert fields[b"Content-Security-Policy"].startswith(b"default-src 'none'; ")
    assert b"frame-ancestors 'none'" in fields[b"Content-Security-Policy"]
    assert fields[b"X-Content-Type-Options"] == b"nosniff"
    assert fields[b"Cross-Origin-Resource-Policy"] == b"same-origin"


def test_a_head_request_has_the_same_head_and_no_content(loop: Loop) -> None:
    whole = loop.exchange(get("/"))
    assert loop.exchange(get("/", method="HEAD")) == whole.removesuffix(b"/")


def test_a_query_belongs_to_the_client(loop: Loop) -> None:
    loop.exchange(get("/screen/1.png?7"))
    assert loop.asked == ["/screen/1.png"]


def test_a_large_answer_arrives_whole_however_slowly_it_is_read(loop: Loop) -> None:
    with loop.connect() as client:
        client.sendall(get("/large"))
        for _ in range(20):
            loop.step(0.001)
        assert loop.server.connections == 1
        # Another one is served meanwhile.
        assert status_of(loop.exchange(get("/"))) == 200
        assert loop.read(client).partition(b"\r\n\r\n")[2] == LARGE


def test_a_picture_is_made_while_it_is_sent_a_piece_a_turn(loop: Loop) -> None:
    with loop.connect() as client:
        client.sendall(get("/pieces"))
        made = []
        while len(loop.counted.made) < 4:
            loop.step(0.01)
            made.append(len(loop.counted.made))
        assert {later - earlier for earlier, later in zip(made, made[1:], strict=False)} <= {0, 1}
        head, _, content = loop.read(client).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head and b"Content-Length" not in head
    assert content == b"".join(b"14\r\n%b\r\n" % (b"%d" % number * 20) for number in range(3)) + b"0\r\n\r\n"


def test_an_old_client_gets_the_pieces_as_they_are_and_a_head_request_makes_none(loop: Loop) -> None:
    assert b"chunked" in loop.exchange(get("/pieces", method="HEAD"))
    assert loop.counted.made == []
    head, _, content = loop.exchange(b"GET /pieces HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"chunked" not in head and content == b"0" * 20 + b"1" * 20 + b"2" * 20


def test_a_request_may_come_byte_by_byte(loop: Loop) -> None:
    with loop.connect() as client:
        for byte in get("/"):
            client.sendall(bytes([byte]))
            loop.step(0.001)
        assert status_of(loop.read(client)) == 200


def test_a_client_that_says_no_more_still_gets_its_answer(loop: Loop) -> None:
    with loop.connect() as client:
        client.sendall(get("/large"))
        client.shutdown(socket.SHUT_WR)
        assert loop.read(client).endswith(LARGE)
    loop.settle()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/nowhere"), 404),
        (get("/", method="POST"), 405),
        (get("/", "Content-Length: 3", method="PUT") + b"abc", 405),
        (get("/", method="DELETE"), 405),
        (get("/", method="OPTIONS"), 405),
        (get("/", "Content-Length: 3") + b"abc", 400),
        (get("/", "Transfer-Encoding: chunked"), 400),
        (get("http://elsewhere/"), 400),
        (get("*"), 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (get("/", "Host: two"), 400),
        (get("/", " folded: line"), 400),
        (get("/", "no colon"), 400),
        (get("/", "Space : before"), 400),
        (get("/", "Zero: \0"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (get("/" + "a" * LONGEST_HEAD), 414),
        (b"GET /" + b"a" * (LONGEST_HEAD + 100), 414),
        (get("/", *("Field: value" for _ in range(1000))), 431),
        (get("/", host="gvt.example.com"), 421),
        (get("/", host="127.0.0.1.example.com:80"), 421),
        (get("/", host="10.0.0.1"), 421),
    ],
)
def test_what_is_no_request_for_a_thing_to_look_at_is_refused(loop: Loop, request_bytes: bytes, status: int) -> None:
    answer = loop.exchange(request_bytes)
    assert status_of(answer) == status
    if status == 405:
        assert b"\r\nAllow: GET, HEAD\r\n" in answer
    loop.settle()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80"])
def test_loopback_has_several_names(loop: Loop, host: str) -> None:
    assert status_of(loop.exchange(get("/", host=host))) == 200


def test_whoever_was_told_to_listen_anywhere_answers_to_any_name() -> None:
    loop = Loop(HERE._replace(anywhere=True))
    assert status_of(loop.exchange(get("/", host="build-machine.example.com"))) == 200
    loop.close()


def test_requests_are_judged_alike_however_they_are_cut() -> None:
    request = get("/screen/1.png?5", "Accept: image/png", "User-Agent: test", method="HEAD")
    for end in range(len(request)):
        assert read_request(request[:end]) is None
    assert read_request(request) == ("/screen/1.png", "127.0.0.1", True, True)
    assert read_request(b"\r\n" + request) == ("/screen/1.png", "127.0.0.1", True, True)
    assert read_request(b"GET / HTTP/1.0\r\n\r\n") == ("/", "", False, False)


# ---- clients that do not behave ----


def test_a_silent_client_keeps_nobody_waiting_and_is_gone_in_time(loop: Loop) -> None:
    with loop.connect(), loop.connect() as half:
        half.sendall(b"GET / HT")
        loop.step(0.05)
        loop.step(0.05)
        assert loop.server.connections == 2
        assert status_of(loop.exchange(get("/"))) == 200
        deadline_ns = loop.clock.next_deadline_ns()
        assert deadline_ns is not None and deadline_ns - loop.clock.now_ns() <= 20_000_000_000


def test_of_too_many_clients_the_oldest_makes_room(loop: Loop) -> None:
    silent = []
    for _ in range(80):
        silent.append(loop.connect())
        loop.step(0.01)
    assert loop.server.connections <= 32
    assert status_of(loop.exchange(get("/"))) == 200
    for client in silent:
        client.close()
    loop.settle()


def test_many_clients_at_once_are_all_answered(loop: Loop) -> None:
    for _ in range(10):
        clients = [loop.connect() for _ in range(20)]
        for client in clients:
            client.sendall(get("/"))
        answers = [loop.read(client) for client in clients]
        assert {status_of(answer) for answer in answers} == {200}
        for client in clients:
            client.close()
    loop.settle()


def test_a_client_that_hangs_up_in_the_middle_of_an_answer_is_forgotten(loop: Loop) -> None:
    for _ in range(3):
        client = loop.connect()
        client.sendall(get("/large"))
        while not loop.asked:
            loop.step(0.01)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    loop.settle()


def test_a_client_that_never_stops_talking_is_not_listened_to_for_ever(loop: Loop) -> None:
    with loop.connect() as client:
        client.sendall(get("/"))
        for _ in range(50):
            loop.step(0.001)
            try:
                client.send(b"more " * 1000)
            except (BlockingIOError, ConnectionError):
                break
        assert loop.asked == ["/"]
        assert loop.server.connections == 1
        deadline_ns = loop.clock.next_deadline_ns()
        assert deadline_ns is not None and deadline_ns - loop.clock.now_ns() <= 20_000_000_000


def test_closing_hangs_up_on_everybody(loop: Loop) -> None:
    with loop.connect() as idle, loop.connect() as reading:
        reading.sendall(get("/large"))
        for _ in range(10):
            loop.step(0.005)
        port = loop.server.port
        loop.server.close()
        assert loop.server.connections == 0
        assert loop.clock.next_deadline_ns() is None
        assert not loop.selector.get_map()
        idle.settimeout(10)
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    loop.listen()


# ---- where it listens ----


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("127.0.0.1", 8080, False)),
        ("0", ("127.0.0.1", 0, False)),
        ("localhost:80", ("127.0.0.1", 80, False)),
        ("127.8.9.10:65535", ("127.8.9.10", 65535, False)),
        ("[::1]:0", ("::1", 0, False)),
    ],
)
def test_an_address_is_a_port_with_a_loopback_address_before_it_or_not(text: str, address: tuple[str, int, bool]) -> None:
    assert parse_view_address(text) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is no port"),
        ("http", "'http' is no port"),
        ("65536", "'65536' is no port"),
        ("-1", "'-1' is no port"),
        ("127.0.0.1:", "'' is no port"),
        ("::1:80", "stands in brackets: [::1]:80"),
        ("example.com:80", "'example.com' is no address"),
        (":80", "'' is no address"),
        ("0.0.0.0:80", "0.0.0.0 is not loopback"),
        ("[::]:80", ":: is not loopback"),
        ("192.168.1.5:80", "--view-anywhere allows that"),
    ],
)
def test_what_is_no_loopback_address_is_refused_with_the_rule(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_view_address(text)
    assert str(caught.value).startswith(f"--view {text}: ") and why in str(caught.value)


def test_any_address_goes_for_those_who_say_so() -> None:
    assert parse_view_address("0.0.0.0:80", anywhere=True) == ("0.0.0.0", 80, True)
    assert parse_view_address("8080", anywhere=True) == ("127.0.0.1", 8080, True)


def test_a_port_in_use_is_a_clear_error(loop: Loop) -> None:
    with pytest.raises(SetupError) as caught:
        ViewServer(loop.selector, loop.clock, HERE._replace(port=loop.server.port), lambda path: Response(b"", ""))
    assert str(caught.value) == f"--view: nothing can listen at 127.0.0.1 port {loop.server.port}: Address already in use"


def test_the_url_is_what_a_browser_takes(loop: Loop) -> None:
    assert loop.server.url == f"http://127.0.0.1:{loop.server.port}/"
