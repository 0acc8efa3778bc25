"""What the studio's server answers and does: pages and files as `scoresmith view`, and orders."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cli.errors import UserError, expected, one_line
from cli.files import parsed
from cli.scenes.batch import Job
from cli.studio.page import ORDERS, studio_page
from cli.studio.settings import Wish, free_folder, request_of
from cli.studio.workshop import Workshop
from cli.viewer.gallery import Gallery
from cli.viewer.gallery_page import in_gallery
from cli.viewer.page import html_of
from cli.viewer.server import MEDIA_TYPES, Resource, page_resource

TOLD = re.compile(r"/orders/(\d{1,9})/(now\.png|now\.glb)")
DONE = re.compile(r"/orders/(\d{1,9})/(stop|continue)")


class Studio:
    """What the server answers and does.

    Args:
        root: the folder of all runs.
        teacher: its name, as the page shows it and runs note it.
        workshop: makes what is ordered.
    """

    def __init__(self, root: Path, teacher: str, workshop: Workshop) -> None:
        self.gallery, self.teacher, self.workshop = Gallery(root), teacher, workshop

    def lookup(self, path: str) -> Resource | None:
        """What a browser asks for."""
        if path == "/":
            return page_resource(html_of(studio_page(self.gallery, self.teacher)))
        if path == f"/{ORDERS}":
            return Resource(MEDIA_TYPES[".json"], json.dumps(self.workshop.orders()).encode())
        if told := TOLD.fullmatch(path):
            content = self.workshop.told(int(told[1]), told[2])
            return None if content is None else Resource(MEDIA_TYPES[Path(told[2]).suffix], content)
        return in_gallery(self.gallery, path)

    def act(self, path: str, content: bytes) -> Resource | None:
        """Do what the page asks for; returns what it is told, None if there is nothing of that name.

        Raises UserError if it cannot be done.
        """
        if path == "/orders":
            return answered(self._order(parsed(content, Wish, "the order")))
        if done := DONE.fullmatch(path):
            number = int(done[1])
            (self.workshop.stop if done[2] == "stop" else self.workshop.go_on)(number)
            return answered(number)
        return None

    def _order(self, wish: Wish) -> int:
        """Put a wish into the queue, with a folder whose name is taken from now on; returns its number."""
        try:
            request = request_of(wish, self.teacher)
            folder = free_folder(self.gallery.root, request.prompt)
            folder.mkdir()
        except expected() as error:
            raise UserError(one_line(error)) from None
        return self.workshop.add(Job(request, folder)).number


def answered(number: int) -> Resource:
    """What the page is told about an order that it has given."""
    return Resource(MEDIA_TYPES[".json"], json.dumps({"number": number}).encode())


def checked_root(root: Path) -> Path:
    """The folder of all runs, made if it is not there. Raises UserError if it cannot be, or is a run itself."""
    if (root / "run.json").exists():
        raise UserError(f"{root} is a run itself; give a folder for many to --out")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root} cannot be made: {error.strerror}") from None
    return root
