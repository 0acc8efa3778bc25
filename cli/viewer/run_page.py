"""What the page of a run shows: the object, what the teacher thought of it, the curves, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.errors import unless_damaged
from cli.files import is_ordinary, read_ordinary
from cli.pictures import animation, pictures_of_sheet
from cli.scenes.curves import read_curves
from cli.scenes.records import MeshRecord, MetricsRecord, Plain, RunRecord, stages_of
from cli.scenes.run_folder import RunFolder, write_text
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import (
    Page,
    data_address,
    definitions,
    folded,
    html_of,
    page_footer,
    page_header,
    section,
    splat_viewer,
    turning,
    viewer,
)
from cli.viewer.run_curves import curves_section
from cli.viewer.run_views import particles_section, views_section
from cli.viewer.words import duration, lengths_in_words, percent, with_article

LARGEST_INLINE_MODEL = 24 * 2**20
"""Bytes of a GLB file that are written into a report; a larger one would make a page that browsers struggle with."""

LINKED = (
    "mesh.glb",
    "gaussians.ply",
    "gaussians.splat",
    "gaussians.spz",
    "picture.svg",
    "turntable.mp4",
    "turntable.gif",
    "preview.png",
    "curves.csv",
    "metrics.json",
    "run.json",
)
"""Files of a run that its page links to."""


def write_report(folder: RunFolder) -> Path:
    """Write report.html, the page of a finished run with everything inside; returns its path."""
    write_text(folder.report, html_of(run_page(folder, inline_model(folder.mesh))))
    return folder.report


def inline_model(path: Path) -> bytes | None:
    """The model, if there is one and it is small enough to be written into a page."""
    if not is_ordinary(path) or path.stat().st_size > LARGEST_INLINE_MODEL:
        return None
    return read_ordinary(path, LARGEST_INLINE_MODEL)


def run_page(
    folder: RunFolder, model: bytes | str | None, gallery: str | None = None, downloads: Sequence[str] = ()
) -> Page:
    """The page of a run, whatever of it is there yet.

    Args:
        folder: of the run.
        model: see `Page.model`; None shows the turntable instead.
        gallery: the address of the page of all runs, if there is one.
        downloads: the model in other formats, as the page's server calls them: "as.obj".

    Raises:
        UserError: if the folder holds no run, or its run.json is damaged.
    """
    configuration = folder.read_configuration()
    metrics = unless_damaged(folder.read_metrics, MetricsRecord())
    prompt = str(configuration["prompt"])
    files = [name for name in LINKED if is_ordinary(folder.path / name)]
    splats = inline_model(folder.gaussians(".splat")) if model is None else None
    body = joined(
        page_header(prompt, summary(configuration, is_ordinary(folder.metrics)), gallery),
        element(
            "main",
            element(
                "div",
                object_section(folder, model, splats, configuration, metrics),
                element(
                    "aside",
                    verdict(metrics),
                    definitions(facts(configuration, metrics)),
                    download_links(downloads),
                    file_links(files),
                ),
                class_="hero",
            ),
            particles_section(folder, metrics),
            views_section(folder, configuration, metrics),
            curves_section(unless_damaged(lambda: read_curves(folder.curves), [])),
            details_section(configuration),
        ),
        page_footer(configuration["versions"]),
    )
    return Page(f"{prompt} · scoresmith", body, model, splats=splats)


def summary(configuration: RunRecord, finished: bool) -> str:
    """One sentence under the prompt."""
    if not finished:
        return "This run has not finished; scoresmith generate --resume continues it."
    return f"Made by score distillation in {duration(sum(configuration.get('seconds', {}).values()))}."


def object_section(
    folder: RunFolder,
    model: bytes | str | None,
    splats: bytes | None,
    configuration: RunRecord,
    metrics: MetricsRecord,
) -> Markup:
    """The model; or the turntable, or what a flat run made."""
    prompt = str(configuration["prompt"])
    turntable = folder.turntable(".gif")
    frames = unless_damaged(lambda: animation(turntable), None) if is_ordinary(turntable) else None
    moving = None if frames is None else turning(data_address(frames, "image/gif"), prompt)
    if model is not None:
        # What was judged by lit pictures alone has its light in its colours.
        knows_looks = any(recipe.get("looks") for recipe in stages_of(configuration).values())
        return viewer(moving, size_in_words(metrics), prompt, first="lit" if knows_looks else "colour")
    if splats is not None:
        return splat_viewer(moving, prompt)
    if moving is not None:
        said = "The model is too large for this page; scoresmith view shows it."
        if is_ordinary(folder.gaussians(".ply")):
            said = "The Gaussians are too many for this page; gaussians.ply opens in other viewers."
        note = element("p", said, class_="notice")
        return element("section", element("div", moving, note, class_="stage"))
    if not is_ordinary(folder.preview):
        return Markup("")
    made = unless_damaged(lambda: pictures_of_sheet(folder.preview, rows=2)[0][0], None)
    if made is None:
        return Markup("")
    picture = element("img", src=data_address(made, "image/png"), alt=prompt)
    return element("section", element("div", picture, class_="stage"))


def verdict(metrics: MetricsRecord) -> Markup:
    """What a classifier that never saw anything generated says."""
    recognition = metrics.get("recognition")
    if not recognition:
        return Markup("")
    noun = with_article(str(recognition["noun"]))
    share, sentence = float(recognition["views_recognised"]), f"of the views are recognised as {noun}"
    if len(recognition.get("probabilities", ())) == 1:
        share, sentence = float(recognition["probabilities"][0]), f"is how surely it is recognised as {noun}"
    return element("p", element("strong", percent(share)), " ", sentence, class_="verdict")


def facts(configuration: RunRecord, metrics: MetricsRecord) -> dict[str, str]:
    """The numbers beside the object; those of them that there are."""
    request, recipe = configuration.get("request", {}), stages_of(configuration)
    rows: dict[str, str] = {}
    if "recognition" in metrics and metrics["recognition"].get("looks_most_like"):
        rows["Looks most like"] = ", ".join(metrics["recognition"]["looks_most_like"])
    if "sides" in metrics:
        rows["Second faces"] = f"{percent(metrics['sides']['janus_score'])} of side and back views look like the front"
    mesh = metrics.get("mesh")
    if mesh is not None:
        rows["Size"] = size_in_words(metrics)
        rows["Mesh"] = mesh_in_words(mesh)
    if mesh is not None and mesh.get("texture"):
        rows["Texture"] = f"{mesh['texture']} pixels"
    rows["Method"] = f"{str(request.get('method', '')).upper()}, seed {request.get('seed', 0)}"
    rows["Teacher"] = str(request.get("teacher", ""))
    rows["Steps"] = ", ".join(
        f"{stage['steps']:,} ({name})" for name, stage in recipe.items() if type(stage.get("steps")) is int
    )
    times = {name: duration(seconds) for name, seconds in configuration.get("seconds", {}).items()}
    rows["Time"] = ", ".join(f"{name} {words}" for name, words in times.items())
    return rows


def size_in_words(metrics: MetricsRecord) -> str:
    """Width, height and depth in metres, or in smaller units where those are easier to read."""
    size = metrics.get("mesh", {}).get("size_m")
    return "" if not size else lengths_in_words([size["x"], size["y"], size["z"]])


def mesh_in_words(mesh: MeshRecord) -> str:
    """How many faces, in how many pieces, and whether they close."""
    pieces = int(mesh["components"])
    closed = "watertight" if mesh["watertight"] else "not watertight"
    return f"{mesh['faces']:,} faces, {'one piece' if pieces == 1 else f'{pieces} pieces'}, {closed}"


def file_links(names: list[str]) -> Markup:
    """Links to files that lie beside the page."""
    return element("p", *(element("a", name, href=name) for name in names), class_="files")


def download_links(names: Sequence[str]) -> Markup:
    """Links to the model in other formats; nothing if there are none."""
    links = [element("a", name.removeprefix("as.").upper(), href=name, download=True) for name in names]
    return element("p", "Download as ", *links, class_="files") if links else Markup("")


def details_section(configuration: RunRecord) -> Markup:
    """Everything else that run.json says, folded."""
    machine: Plain = {name: value for name, value in configuration.items() if name in ("device", "threads")}
    parts: dict[str, Plain] = {
        "Request": configuration.get("request", {}),
        "Recipe": configuration.get("recipe", {}),
        "Versions": dict(configuration["versions"]),
        "Machine": machine,
    }
    return section("How it was made", "", *(folded(name, values) for name, values in parts.items()))
