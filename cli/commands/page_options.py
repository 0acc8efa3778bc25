"""What the commands share that show pages in a browser."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cli import numbers

if TYPE_CHECKING:
    from cli.viewer.server import PageServer


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Where the pages are, and whether a browser is opened."""
    parser.add_argument(
        "--port", type=numbers.whole(0, 65535), metavar="N", help="of the page (default: 8270, or any free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def serve(server: PageServer, options: argparse.Namespace) -> None:
    """Print the address, open a browser if one is wanted, and serve until Ctrl-C."""
    from cli.viewer.server import open_browser

    print(f"{server.address}  (Ctrl-C ends)", flush=True)
    if not options.no_browser:
        open_browser(server.address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
