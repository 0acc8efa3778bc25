"""The page of a folder of runs: a picture and the measurements of each, to be searched and sorted."""

from __future__ import annotations

from urllib.parse import unquote

from cli.scenes.run_folder import RunFolder
from cli.viewer.downloads import download, download_names
from cli.viewer.gallery import Gallery, thumbnail
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, html_of, page_header
from cli.viewer.run_page import LINKED, run_page
from cli.viewer.server import MEDIA_TYPES, Lookup, Resource, file_of, page_resource

RUNS, PICTURE = "runs.json", "picture.jpg"
"""Where the page finds the facts of all runs, and in the folder of each its picture."""

ORDERS = {
    "new": "Newest first",
    "sure": "Best recognised first",
    "unsure": "Worst recognised first",
    "name": "By prompt",
    "faces": "Most faces first",
    "slow": "Slowest first",
}
STATES = {
    "": "All",
    "recognised": "Recognised",
    "missed": "Not recognised",
    "unfinished": "Unfinished",
    "damaged": "Damaged",
}


def gallery_page(gallery: Gallery) -> Page:
    """The page; gallery.js fills it with what `RUNS` says."""
    name = gallery.root.resolve().name or str(gallery.root)
    body = joined(page_header(name, "A folder of runs. / searches, Enter opens."), element("main", gallery_section()))
    return Page(f"{name} · scoresmith", body, scripts=("gallery.js",), told={"gallery": {"runs": RUNS}})


def gallery_section() -> Markup:
    """Search, order, what is shown, and the place of the cards."""
    search = element(
        "input",
        type="search",
        name="search",
        placeholder="Search prompts, nouns, methods, seeds",
        aria_label="Search",
        autocomplete="off",
        spellcheck="false",
    )
    return element(
        "section",
        element(
            "div",
            search,
            choice("state", "Show", STATES),
            choice("order", "Order", ORDERS),
            class_="filters",
            role="search",
        ),
        element("p", "Looking for runs …", class_="summary", role="status"),
        element("ul", class_="cards"),
        class_="gallery",
        aria_label="Runs",
    )


def choice(name: str, label: str, options: dict[str, str]) -> Markup:
    """One of several, the first by default."""
    written = [element("option", words, value=value) for value, words in options.items()]
    return element("select", *written, name=name, aria_label=label)


def lookup_in_gallery(gallery: Gallery) -> Lookup:
    """The page of a folder of runs, the facts and pictures of these, and the page of each of them."""

    def lookup(path: str) -> Resource | None:
        if path == "/":
            return page_resource(html_of(gallery_page(gallery)))
        return in_gallery(gallery, path)

    return lookup


def in_gallery(gallery: Gallery, path: str) -> Resource | None:
    """What lies beside the page of a gallery.

    The name of a run in ``path`` is looked up among those that the gallery has found, and never joined to a folder.
    """
    if path == f"/{RUNS}":
        return Resource(MEDIA_TYPES[".json"], gallery.as_json())
    if not path.startswith("/runs/"):
        return None
    name, _, file = unquote(path, errors="surrogateescape").removeprefix("/runs/").rpartition("/")
    folder = gallery.find(name)
    return None if folder is None else in_run(folder, file)


def in_run(folder: RunFolder, file: str) -> Resource | None:
    """The page of a run in a gallery, or one of the files that it links to."""
    if file == "":
        model = folder.mesh.name if file_of(folder.path, folder.mesh.name) else None
        return page_resource(html_of(run_page(folder, model, gallery="/", downloads=download_names() if model else ())))
    if file.startswith("as."):
        return download(folder, file)
    if file == PICTURE:
        content = thumbnail(folder)
        return None if content is None else Resource(MEDIA_TYPES[".jpg"], content)
    return file_of(folder.path, file) if file in LINKED else None
