"""A page at 127.0.0.1 and what belongs to it, and nothing else."""

from __future__ import annotations

import os
import shutil
import socketserver
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cli.errors import UserError

HOST = "127.0.0.1"
PREFERRED_PORT = 8270
"""Tried first where the user names no port, so that a tunnel to another machine can be set up before."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".png": "image/png",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
}


@dataclass(frozen=True)
class Resource:
    """An answer: the media type, and the bytes or the file that holds them."""

    kind: str
    content: bytes | Path


Lookup = Callable[[str], Resource | None]
"""From the path of a request ("/mesh.glb") to the answer; None if there is nothing of that name."""


def page_resource(html: str) -> Resource:
    """A page as an answer."""
    return Resource(MEDIA_TYPES[".html"], html.encode())


def file_of(folder: Path, name: str) -> Resource | None:
    """A file that lies in a folder itself; None if there is none, or only a link to elsewhere."""
    path = folder / name
    if not path.is_file() or path.resolve().parent != folder.resolve():
        return None
    return Resource(MEDIA_TYPES[path.suffix], path)


class PageServer(ThreadingHTTPServer):
    """Answers browsers of this machine.

    Args:
        lookup: asked at every request, from several threads. It must know its answers by name, and never make a file's
            name out of a request.
        port: to listen on; None takes `PREFERRED_PORT`, or any free one.

    Raises:
        UserError: if the port is in use or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def __init__(self, lookup: Lookup, port: int | None = None) -> None:
        self.lookup = lookup
        try:
            super().__init__((HOST, PREFERRED_PORT if port is None else port), PageHandler)
        except (OSError, OverflowError) as error:
            if port is not None:
                reason = getattr(error, "strerror", "ports are numbers up to 65535")
                raise UserError(f"--port {port} cannot be used: {reason}; leave it out for a free one") from None
            super().__init__((HOST, 0), PageHandler)

    def server_bind(self) -> None:
        """Bind, without the question to the network for this machine's name that `HTTPServer` would ask."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is nothing to report; everything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """Looks a path up. No path is ever joined to a folder, so none can lead out of one."""

    server: PageServer
    server_version, sys_version = "scoresmith", ""

    def do_GET(self) -> None:
        """Answer with headers and content."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Answer with the headers only."""
        self._answer(with_content=False)

    def _answer(self, with_content: bool) -> None:
        # Other web sites may find their way here by a name of theirs that leads to 127.0.0.1 (DNS rebinding).
        if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        resource = self.server.lookup(self.path.split("?")[0])
        if resource is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content = resource.content
        length = content.stat().st_size if isinstance(content, Path) else len(content)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", resource.kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if not with_content:
            return
        if isinstance(content, bytes):
            self.wfile.write(content)
            return
        with content.open("rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal belongs to the command."""


def open_browser(address: str) -> None:
    """Open the user's browser, where there is a screen for one: elsewhere a text browser would take the terminal."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def serve_beside(server: PageServer) -> None:
    """Serve in a thread of its own, until `PageServer.shutdown`."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
