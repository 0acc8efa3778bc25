"""The server hands out what it was given by name, to this machine's browsers, and nothing else."""

import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import UserError
from cli.viewer.server import HOST, PageServer, Resource, file_of, serve_beside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with a file to serve, beside one with a secret."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "mesh.glb").write_bytes(b"glTF of this run")
    (folder / "run.json").write_text("{}")
    (tmp_path / "secret.json").write_text("secret")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    def lookup(path: str) -> Resource | None:
        if path == "/":
            return Resource("text/html; charset=utf-8", b"<p>page")
        return file_of(folder, "mesh.glb") if path == "/mesh.glb" else None

    with PageServer(lookup, port=0) as server:
        serve_beside(server)
        yield server
        server.shutdown()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Ask without the tidying that clients do to paths."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}


def test_the_page_and_its_files_are_served(server: PageServer):
    status, content, headers = ask(server, "/?reload=1")
    assert (status, content) == (200, b"<p>page")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    status, content, headers = ask(server, "/mesh.glb")
    assert (status, content, headers["content-type"]) == (200, b"glTF of this run", "model/gltf-binary")
    status, content, headers = ask(server, "/mesh.glb", method="HEAD")
    assert (status, content, headers["content-length"]) == (200, b"", "16")


@pytest.mark.parametrize(
    "path",
    [
        "/run.json",  # lies in the folder, but was not given out
        "/../secret.json",
        "/mesh.glb/../run.json",
        "/..%2fsecret.json",
        "/%2e%2e/secret.json",
        "//etc/passwd",
        "/etc/passwd",
        "/.",
        "/mesh.glb/",
        "/mesh.glb%00",
        "mesh.glb",
        "http://example.org/mesh.glb",
    ],
)
def test_nothing_else_is(server: PageServer, path: str):
    status, content, _ = ask(server, path)
    assert status in (403, 404)
    assert b"glTF" not in content
    assert b"secret" not in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(server: PageServer, method: str):
    assert ask(server, "/", method=method)[0] == 501


def test_other_names_of_this_machine_are_refused(server: PageServer):
    """A web page elsewhere may have its own name point at 127.0.0.1, and would then be of the same origin."""
    port = server.server_port
    assert ask(server, "/", Host=f"evil.example:{port}")[0] == 403
    assert ask(server, "/", Host="127.0.0.1")[0] == 403
    assert ask(server, "/", Host=f"localhost:{port}")[0] == 200


def test_links_out_of_the_folder_are_not_followed(folder: Path):
    for target in ("../secret.json", str(folder.parent / "secret.json")):
        (folder / "metrics.json").unlink(missing_ok=True)
        os.symlink(target, folder / "metrics.json")
        assert file_of(folder, "metrics.json") is None
    assert file_of(folder, "curves.csv") is None
    inside = file_of(folder, "mesh.glb")
    assert inside is not None
    assert inside.content == folder / "mesh.glb"


def test_it_listens_on_this_machine_only(server: PageServer):
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_is_said(server: PageServer):
    with pytest.raises(UserError, match=f"--port {server.server_port} cannot be used"):
        PageServer(lambda path: None, server.server_port)
    with pytest.raises(UserError, match="--port 99999 cannot be used"):
        PageServer(lambda path: None, 99999)


def test_without_a_port_two_servers_find_one_each():
    with PageServer(lambda path: None) as first, PageServer(lambda path: None) as second:
        assert first.server_port != second.server_port
