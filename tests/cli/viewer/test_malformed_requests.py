"""Whatever arrives at the server of a page: it is refused, nothing outside of the page is shown, and nobody notices."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.viewer.pages import lookup_for
from cli.viewer.server import HOST, PageServer, serve_beside
from tests.cli.viewer.folders import run_folder

SECRET = b"SECRET of another folder"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    root = tmp_path_factory.mktemp("hostile")
    (root / "runs").mkdir()
    run_folder(root / "runs" / "a")
    (root / "secret").write_bytes(SECRET)
    with PageServer(lookup_for(Path(root / "runs")), 0) as server:
        serve_beside(server)
        yield server
        server.shutdown()


def answer(server: PageServer, request: bytes) -> bytes:
    """All that comes back to some bytes, after which nothing more is sent."""
    with socket.create_connection((HOST, server.server_port), timeout=20) as connection:
        parts = []
        try:
            connection.sendall(request.replace(b"OURS", f"{HOST}:{server.server_port}".encode()))
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                parts.append(part)
        except TimeoutError:
            raise
        except OSError:  # a server that has not read all of it may reset the connection, at any moment
            pass
        return b"".join(parts)


def get(path: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.0\r\nHost: OURS\r\n" + headers + b"\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/runs/a/../../secret"), b"404"),
        (get(b"/runs/%2e%2e/%2e%2e/secret"), b"404"),
        (get(b"/runs/..%2f..%2fsecret"), b"404"),
        (get(b"/runs/a%00/"), b"404"),
        (get(b"/runs/%ff\xff/"), b"404"),
        (get(b"/" + b"a/" * 20_000), b"404"),
        (get(b"/" + b"a" * 40_000, b"X: " + b"x" * 40_000 + b"\r\n"), b"404"),
        (get(b"/runs/a b/"), b"400"),
        (get(b"/", b"X: " + b"x" * 60_000 + b"\r\n"), b"200"),
        (get(b"/", b"X: " + b"x" * 70_000 + b"\r\n"), b"431"),
        (get(b"/", b"X: x\r\n" * 150), b"431"),
        (get(b"/", b"no colon\r\n"), b"200"),
        (get(b"/", b"Host: evil.example\r\n"), b"200"),
        (b"GET / HTTP/1.0\r\nHost: evil.example\r\nHost: OURS\r\n\r\n", b"403"),
        (b"GET / HTTP/1.0\r\n\r\n", b"403"),
        (b"G" * 70_000, b"414"),
        (b"BREW / HTTP/1.0\r\nHost: OURS\r\n\r\n", b"501"),
        (b"__class__ / HTTP/1.0\r\nHost: OURS\r\n\r\n", b"501"),
        (b"GET\0 / HTTP/1.0\r\nHost: OURS\r\n\r\n", b"501"),
        (b"POST / HTTP/1.0\r\nHost: OURS\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"501"),
    ],
)
def test_requests_of_strangers(server: PageServer, request_: bytes, status: bytes, capfd: pytest.CaptureFixture[str]):
    found = answer(server, request_)
    assert found.split(b"\r\n")[0].split(b" ")[1] == status
    assert SECRET not in found
    assert not capfd.readouterr().err


SOUND = get(b"/runs/a/run.json", b"Range: bytes=0-\r\n")
PIECES = st.binary() | st.sampled_from(
    [b"/", b"..", b"%2e", b"\0", b"\r\n", b" ", b":", b"HTTP/9.9", b"\xff", b"9" * 5000]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, len(SOUND)), st.integers(0, 9), PIECES), min_size=1, max_size=4))
def test_any_bytes(server: PageServer, places: list[tuple[int, int, bytes]], capfd: pytest.CaptureFixture[str]):
    request = SOUND
    for place, dropped, piece in places:
        request = request[:place] + piece + request[place + dropped :]
    assert SECRET not in answer(server, request)
    assert not capfd.readouterr().err
    assert answer(server, get(b"/")).startswith(b"HTTP/1.0 200 ")
