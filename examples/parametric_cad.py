"""A prompt designs a CAD model: a table of a dozen numbers, optimised as in `parametric_object.py`, saved as STEP.

    pip install cadquery-ocp
    python examples/parametric_cad.py "a low wooden table" --out table.step

What the teacher sees is an implicit form of the table, softly edged boxes, through which its gradient reaches the
numbers. What is saved is the table itself: a top and four legs as exact solids, joined to one, with rounded edges, in
millimetres. Any CAD program opens it, and knows faces, edges and fillets instead of triangles.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parametric_object import design

METRE = 0.9
"""Height of the finished table divided by its height in object units, in metres."""


@dataclass(frozen=True)
class Box:
    """A solid with faces along the axes.

    Attributes:
        low, high: two opposite corners, in millimetres, +Z up as CAD programs have it.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def volume(self) -> float:
        """In cubic millimetres."""
        return math.prod(high - low for low, high in zip(self.low, self.high, strict=True))


def softplus(x: float) -> float:
    """What `parametric_object.Table` keeps its lengths positive by."""
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def boxes(numbers: dict[str, Any]) -> list[Box]:
    """The top and the four legs of a table, standing on the floor.

    Args:
        numbers: of `parametric_object.Table`, in which lengths are half-extents in object units, +Y up.
    """
    width, thickness, depth = (softplus(value) for value in numbers["top"])
    leg, length = (softplus(value) for value in numbers["leg"])
    spread = numbers["spread"]
    unit = 1000 * METRE / (2 * thickness + 2 * length)  # millimetres
    top = Box((-width * unit, -depth * unit, 2 * length * unit), (width * unit, depth * unit, 1000 * METRE))
    solids = [top]
    for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        middle = x * spread * width * unit, y * spread * depth * unit
        half = leg * unit
        # A hair into the top, so that both become one solid.
        high = (middle[0] + half, middle[1] + half, 2 * length * unit + min(1.0, thickness * unit))
        solids.append(Box((middle[0] - half, middle[1] - half, 0.0), high))
    return solids


def write_step(solids: list[Box], path: Path, rounded: float = 4.0) -> float:
    """Join boxes to one solid with rounded edges and write it; returns its volume in cubic millimetres.

    Args:
        solids: what is joined.
        path: of the STEP file.
        rounded: radius of the edges in millimetres; where they are too short for it they stay sharp.

    Raises:
        RuntimeError: if the kernel cannot join or write them.
    """
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Fuse
    from OCP.BRepFilletAPI import BRepFilletAPI_MakeFillet
    from OCP.BRepGProp import BRepGProp
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt
    from OCP.GProp import GProp_GProps
    from OCP.IFSelect import IFSelect_RetDone
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer
    from OCP.TopAbs import TopAbs_EDGE
    from OCP.TopExp import TopExp_Explorer
    from OCP.TopoDS import TopoDS

    shape = None
    for box in solids:
        one = BRepPrimAPI_MakeBox(gp_Pnt(*box.low), gp_Pnt(*box.high)).Shape()
        shape = one if shape is None else BRepAlgoAPI_Fuse(shape, one).Shape()
    as_edge = getattr(TopoDS, "Edge_s", None) or TopoDS.Edge  # the former in OCP 7
    fillet, edges = BRepFilletAPI_MakeFillet(shape), TopExp_Explorer(shape, TopAbs_EDGE)
    while edges.More():
        fillet.Add(rounded, as_edge(edges.Current()))
        edges.Next()
    try:
        fillet.Build()
        rounded_shape = fillet.Shape() if fillet.IsDone() else shape
    except Exception as error:  # the kernel's own class, which says no more than that it could not
        print(f"edges stay sharp: {error}")
        rounded_shape = shape
    writer = STEPControl_Writer()
    writer.Transfer(rounded_shape, STEPControl_AsIs)
    if writer.Write(str(path)) != IFSelect_RetDone:
        raise RuntimeError(f"{path} could not be written")
    measured = GProp_GProps()
    BRepGProp.VolumeProperties_s(rounded_shape, measured)
    return float(measured.Mass())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt", nargs="?", default="a wooden table")
    parser.add_argument("--out", type=Path, default=Path("table.step"))
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    picture = options.out.with_suffix(".png")
    model = boxes(design(options.prompt, picture, options.steps))
    print(f"{write_step(model, options.out) / 1e6:.1f} litres of material", options.out, picture, sep="\n")
