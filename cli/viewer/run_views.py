"""The pictures of a run on its page: the object beside what the teacher would draw; all objects of a run of several."""

from __future__ import annotations

from cli.errors import unless_damaged
from cli.files import is_ordinary
from cli.pictures import pictures_of_sheet
from cli.scenes.records import MetricsRecord, RunRecord, stages_of
from cli.scenes.run_folder import RunFolder
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import data_address, section
from cli.viewer.words import percent, side_in_words

LOOKS = (
    "In the light of a studio",
    "Its colours without light",
    "The directions of its surface: red is right, green up, blue towards you",
)
"""The looks of a preview, if its teacher was asked for more than one; each takes two rows of the sheet."""


def looks_of(configuration: RunRecord) -> tuple[str, ...]:
    """What is said about the pairs of rows of a run's preview."""
    return LOOKS if any(stage.get("looks") for stage in stages_of(configuration).values()) else ("",)


def views_section(folder: RunFolder, configuration: RunRecord, metrics: MetricsRecord) -> Markup:
    """What was made beside what the teacher would draw from the same sides, in each of its looks."""
    if not is_ordinary(folder.preview) or not any(map(is_ordinary, (folder.mesh, folder.gaussians(".ply")))):
        return Markup("")
    looks = looks_of(configuration) if is_ordinary(folder.mesh) else ("",)
    sheet = unless_damaged(lambda: pictures_of_sheet(folder.preview, rows=2 * len(looks)), None)
    if sheet is None:
        return Markup("")
    probabilities = metrics.get("recognition", {}).get("probabilities", [])
    explanation = "Above, the object; below, what the teacher would draw from the same side if it drew by itself." + (
        " The bars say how surely a classifier recognises each view." if probabilities else ""
    )
    rows = []
    for number, look in enumerate(looks):
        made, imagined = sheet[2 * number : 2 * number + 2]
        views = views_of(made, imagined, probabilities if number == 0 else [])
        rows += [element("p", look, class_="lead")] if look else []
        rows.append(element("div", *views, class_="views"))
    return section("Views", explanation, *rows)


def views_of(made: list[bytes], imagined: list[bytes], probabilities: list[float]) -> list[Markup]:
    """A figure for each side: the object, what the teacher would draw, and how surely it is recognised."""
    views = []
    for i, pair in enumerate(zip(made, imagined, strict=True)):
        side = side_in_words(360 * i / len(made))
        pictures = [
            element("img", src=data_address(pair[0], "image/png"), alt=f"The object, {side}"),
            element("img", src=data_address(pair[1], "image/png"), alt=f"What the teacher would draw, {side}"),
        ]
        seen = [recognition_bar(float(probabilities[i]))] if i < len(probabilities) else []
        views.append(element("figure", *pictures, element("figcaption", side, *seen)))
    return views


def particles_section(folder: RunFolder, metrics: MetricsRecord) -> Markup:
    """The objects of a run that made several, and how much they differ."""
    record = metrics.get("particles")
    if record is None or not is_ordinary(folder.particles):
        return Markup("")
    rows = unless_damaged(lambda: pictures_of_sheet(folder.particles, rows=record["count"]), None)
    if rows is None:
        return Markup("")
    probabilities = record.get("probabilities", [])
    figures = []
    for number, row in enumerate(rows):
        seen = [recognition_bar(float(probabilities[number]))] if number < len(probabilities) else []
        pictures = [element("img", src=data_address(one, "image/png"), alt=f"Object {number + 1}") for one in row[::2]]
        name = element(
            "a", f"object {number + 1}", href=("" if number == 0 else f"particle-{number + 1}/") + "mesh.glb"
        )
        figures.append(element("figure", *pictures, element("figcaption", name, *seen)))
    explanation = (
        f"{len(rows)} objects were made at once. The root mean square of the differences between their pictures is "
        f"{float(record['difference']):.3f}, on a scale where black and white differ by 1."
    )
    return section("Objects", explanation, element("div", *figures, class_="views"))


def recognition_bar(probability: float) -> Markup:
    """A probability as a bar and a number."""
    return joined(element("meter", value=round(probability, 4), min=0, max=1), element("b", percent(probability)))
