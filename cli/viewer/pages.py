"""Which page belongs to a path, and what its server may hand out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cli.errors import UserError
from cli.run_folder import RunFolder
from cli.viewer.page import Page, html_of
from cli.viewer.run_page import LINKED, run_page
from cli.viewer.server import MEDIA_TYPES, Resource, Resources, file_of


def resources_for(path: Path) -> Resources:
    """The page of a run's folder, a student's folder or a file with a model, and the files it links to.

    Raises:
        UserError: if there is nothing that can be shown.
    """
    if not path.exists():
        raise UserError(f"there is no {path}")
    if RunFolder(path).configuration.is_file():
        return run_resources(RunFolder(path))
    raise UserError(f"{path} holds no run of scoresmith")


def run_resources(folder: RunFolder) -> Resources:
    """The page of a run, made anew at every request, so that reloading shows what has happened since."""

    def page() -> Resource:
        has_model = file_of(folder.path, folder.mesh.name) is not None
        return page_resource(run_page(folder, folder.mesh.name if has_model else None))

    page()  # what is wrong with the folder is said before a page is promised
    return {"/": page} | {f"/{name}": partial(file_of, folder.path, name) for name in LINKED}


def page_resource(page: Page) -> Resource:
    """A page as an answer."""
    return Resource(MEDIA_TYPES[".html"], html_of(page).encode())
