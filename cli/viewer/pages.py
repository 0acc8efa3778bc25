"""Which page belongs to a path, and what its server hands out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli.errors import UserError
from cli.scenes.run_folder import RunFolder
from cli.viewer.file_page import MODEL, file_page
from cli.viewer.gallery import Gallery, runs_below
from cli.viewer.gallery_page import lookup_in_gallery
from cli.viewer.page import html_of
from cli.viewer.run_page import LINKED, run_page
from cli.viewer.server import Lookup, Resource, file_of, page_resource


def lookup_for(path: Path) -> Lookup:
    """The page of a run, of a student, of a folder of runs or of a file with a model, and what belongs to it.

    Raises:
        UserError: if there is nothing that can be shown.
    """
    if path.is_file():
        return lookup_in_file(path)
    if RunFolder(path).configuration.is_file():
        return lookup_in_run(RunFolder(path))
    if (path / "training").is_dir():
        return lookup_in_student(path)
    if not path.exists():
        raise UserError(f"there is no {path}")
    if next(runs_below(path), None) is not None:
        return lookup_in_gallery(Gallery(path))
    raise UserError(
        f"{path} holds no run and no student of scoresmith; give a folder of runs, one of a run, or a file with a model"
    )


def lookup_in_run(folder: RunFolder) -> Lookup:
    """The page of a run, made anew at every request, so that reloading it shows what has happened since."""

    def page() -> Resource:
        has_model = file_of(folder.path, folder.mesh.name) is not None
        return page_resource(html_of(run_page(folder, folder.mesh.name if has_model else None)))

    def lookup(path: str) -> Resource | None:
        if path == "/":
            return page()
        name = path.removeprefix("/")
        return file_of(folder.path, name) if name in LINKED else None

    checked(page, folder.path)
    return lookup


def lookup_in_student(path: Path) -> Lookup:
    """The page of a student."""
    from cli.trainings.student_folder import StudentFolder  # loads what only students need
    from cli.viewer.student_page import student_page

    folder = StudentFolder(path)

    def page() -> Resource:
        return page_resource(html_of(student_page(folder)))

    checked(page, path)
    return lambda path: page() if path == "/" else None


def checked(page: Callable[[], Resource], folder: Path) -> None:
    """Make a page once before it is promised. Raises UserError if the folder's files are not what they should be."""
    try:
        page()
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder} is damaged, or of another version of scoresmith ({error!r})") from None


def lookup_in_file(path: Path) -> Lookup:
    """The page of a file with a model, which is read once."""
    page, model = file_page(path)
    return {"/": page_resource(html_of(page)), f"/{MODEL}": model}.get
