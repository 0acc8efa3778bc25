"""A page at 127.0.0.1 and what belongs to it, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import socketserver
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cli.errors import UserError
from cli.files import is_ordinary, open_ordinary

PATIENCE = 30.0
"""Seconds that a browser may take to ask."""

HASTE = 1.0
"""Seconds that it may take to ask while others wait for a thread to be free."""

MOST_CONNECTIONS = 100
"""Threads that answer at the same time."""

HOST = "127.0.0.1"
PREFERRED_PORT = 8270
"""Tried first where the user names no port, so that a tunnel to another machine can be set up before."""

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".ply": "application/octet-stream",
    ".splat": "application/octet-stream",
    ".spz": "application/octet-stream",
    ".svg": "application/octet-stream",  # to be saved: shown as a picture of its own it might run scripts
}


@dataclass(frozen=True)
class Resource:
    """An answer.

    Attributes:
        kind: the media type.
        content: the bytes, or the file that holds them.
    """

    kind: str
    content: bytes | Path
    name: str = ""
    """What a browser is to call it when it keeps it as a file; "" for what is only looked at."""


Lookup = Callable[[str], Resource | None]
"""From the path of a request ("/mesh.glb") to the answer; None if there is nothing of that name."""

Act = Callable[[str, bytes], Resource | None]
"""Does what a page asks for, from path and content; None if there is nothing of that name. May raise UserError."""

LARGEST_WISH = 64 * 1024
"""Bytes of what a page may send."""

LENGTH = re.compile("[0-9]{1,9}")
"""How a page says how many bytes it sends."""


def page_resource(html: str) -> Resource:
    """A page as an answer."""
    return Resource(MEDIA_TYPES[".html"], html.encode("utf-8", "replace"))


def file_of(folder: Path, name: str) -> Resource | None:
    """A file that lies in a folder itself; None if there is none, or only a link to elsewhere or something special."""
    path = folder / name
    return Resource(MEDIA_TYPES[path.suffix], path) if is_ordinary(path) else None


class PageServer(ThreadingHTTPServer):
    """Answers browsers of this machine.

    Args:
        lookup: asked at every request, from several threads. It must know its answers by name, and never make a file's
            name out of a request.
        port: to listen on; None takes `PREFERRED_PORT`, or any free one.
        act: what the server's own pages may ask it to do; None: nothing.

    Raises:
        UserError: if the port is in use or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port
    request_queue_size = 128

    def __init__(self, lookup: Lookup, port: int | None = None, act: Act | None = None) -> None:
        self.lookup, self.act = lookup, act
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._asking: dict[socket.socket, float] = {}
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

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, as soon as one is free."""
        if not self._thread_is_free():
            self.shutdown_request(request)
            return
        self._asking[request] = time.monotonic()
        super().process_request(request, client_address)

    def _thread_is_free(self) -> bool:
        """Wait for it; meanwhile give up those who have not even asked yet. False if all go on answering."""
        began = time.monotonic()
        while not self._room.acquire(timeout=0.05):
            self.give_up_slow(HASTE)
            if time.monotonic() - began > PATIENCE:
                return False
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As of the standard library, and make room afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._asking.pop(request, None)
            self._room.release()

    def has_asked(self, request: socket.socket) -> None:
        """A request has come in whole: from now on only its answer's own timeout holds."""
        self._asking.pop(request, None)

    def service_actions(self) -> None:
        """Called again and again by `serve_forever`."""
        self.give_up_slow(PATIENCE)

    def give_up_slow(self, patience: float) -> None:
        """Close connections that take longer than so many seconds to ask, however steadily their bytes drip in."""
        for connection, began in list(self._asking.items()):
            if time.monotonic() - began > patience:
                self._asking.pop(connection, None)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def names(self) -> set[str]:
        """What browsers of this machine call the server."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is nothing to report; everything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """Looks a path up. No path is ever joined to a folder, so none can lead out of one."""

    server: PageServer
    server_version, sys_version = "scoresmith", ""
    timeout = PATIENCE
    """Seconds that a read or a write may take, see `socketserver.StreamRequestHandler`."""

    def do_GET(self) -> None:
        """Answer with headers and content."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Answer with the headers only."""
        self._answer(with_content=False)

    def do_POST(self) -> None:
        """Do what one of our own pages asks for, and say how that went.

        Any web site can have a browser send a form here, but none with our origin, and none as JSON unless we allow it.
        """
        length = self.headers.get("Content-Length", "")
        if self.server.act is None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED)
            return
        if not LENGTH.fullmatch(length) or int(length) > LARGEST_WISH:
            self.say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This is too much, or of no known length.")
            return
        content = self.rfile.read(int(length))
        self.server.has_asked(self.request)
        if len(content) < int(length):
            self.say(HTTPStatus.BAD_REQUEST, "This is only a part of what was to come.")
            return
        origins = {f"http://{name}" for name in self.server.names}
        is_ours = self.headers.get("Origin") in origins and self.headers.get("Content-Type") == "application/json"
        if not is_ours or not self.is_asked_by_us():
            self.say(HTTPStatus.FORBIDDEN, "Only our own page may ask for this.")
            return
        try:
            answer = self.server.act(self.path, content)
        except UserError as error:
            self.say(HTTPStatus.BAD_REQUEST, " ".join(str(error).split()))
            return
        if answer is None:
            self.say(HTTPStatus.NOT_FOUND, "There is nothing of that name.")
        else:
            self.give(answer)

    def is_asked_by_us(self) -> bool:
        """Whether the request comes from our own pages, or from the user, and not from another web site.

        Such a site may find its way here by a name of its own that leads to 127.0.0.1 (DNS rebinding), or name our
        address in its pages, of which browsers tell us (Sec-Fetch-Site); it may link to the first page only.
        """
        if self.headers.get("Host") not in self.server.names:
            return False
        return self.path == "/" or self.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")

    def _answer(self, with_content: bool) -> None:
        self.server.has_asked(self.request)
        if not self.is_asked_by_us():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            resource = self.server.lookup(self.path.split("?")[0])
            content = resource.content if resource is not None else None
            file = open_ordinary(content) if isinstance(content, Path) else None
        except FileNotFoundError:
            resource = None
        except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            self.say(HTTPStatus.INTERNAL_SERVER_ERROR, f"This cannot be shown: {error}")
            return
        if resource is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif file is None:
            self.give(resource, with_content)
        else:
            with file:
                self._begin(HTTPStatus.OK, resource.kind, os.fstat(file.fileno()).st_size, resource.name)
                if with_content:
                    shutil.copyfileobj(file, self.wfile)

    def give(self, resource: Resource, with_content: bool = True) -> None:
        """Answer with bytes."""
        assert isinstance(resource.content, bytes)
        self._begin(HTTPStatus.OK, resource.kind, len(resource.content), resource.name)
        if with_content:
            self.wfile.write(resource.content)

    def say(self, status: HTTPStatus, sentence: str) -> None:
        """Answer with a sentence, as plain text."""
        content = f"{sentence}\n".encode("utf-8", "replace")
        self._begin(status, "text/plain; charset=utf-8", len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, status: HTTPStatus, kind: str, length: int, name: str = "") -> None:
        """Send the headers of an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if name:
            self.send_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal belongs to the command."""


def open_browser(address: str) -> None:
    """Open the user's browser, where there is a screen for one: elsewhere a text browser would take the terminal."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def serve_beside(server: PageServer) -> None:
    """Serve in a thread of its own, until `PageServer.shutdown`."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
