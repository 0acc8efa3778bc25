"""Browsers that ask slowly, not at all, all at once, or go away: the others are answered all the same."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cli.viewer import server as servers
from cli.viewer.server import HOST, PageHandler, PageServer, Resource, serve_beside

LARGE = b"x" * 20_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[PageServer]:
    monkeypatch.setattr(servers, "MOST_CONNECTIONS", 4)
    pages = {"/": Resource("text/html", b"page"), "/large": Resource("text/plain", LARGE)}
    with PageServer(pages.get, 0) as server:
        serve_beside(server)
        yield server
        server.shutdown()
    assert "Traceback" not in capfd.readouterr().err


def answer(server: PageServer) -> bytes:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=60)
    connection.request("GET", "/")
    return connection.getresponse().read()


def silent(server: PageServer) -> socket.socket:
    return socket.create_connection((HOST, server.server_port), timeout=60)


def test_those_who_ask_nothing_do_not_keep_others_waiting(server: PageServer):
    idle = [silent(server) for _ in range(12)]
    assert answer(server) == b"page"
    for connection in idle:
        connection.close()


def test_who_drips_is_given_up(server: PageServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(servers, "PATIENCE", 0.5)
    monkeypatch.setattr(PageHandler, "timeout", 30)
    with silent(server) as connection:
        given_up, began = False, time.monotonic()
        while not given_up and time.monotonic() - began < 60:
            time.sleep(0.05)
            try:
                connection.sendall(b"G")
                connection.settimeout(0.01)
                given_up = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:  # a reset or a broken pipe, as the system likes
                given_up = True
    assert given_up
    assert answer(server) == b"page"


def test_who_goes_away_in_the_middle_of_an_answer_is_forgotten(server: PageServer):
    for _ in range(8):
        with silent(server) as connection:
            connection.sendall(f"GET /large HTTP/1.0\r\nHost: {HOST}:{server.server_port}\r\n\r\n".encode())
            assert connection.recv(10)
    assert answer(server) == b"page"


def test_many_at_once_are_all_answered(server: PageServer):
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(answer(server))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"page"] * 40
