"""The CAD example: the numbers become a table that stands, and the file is one solid of the right volume."""

import math
import runpy
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return runpy.run_path(str(EXAMPLES / "parametric_cad.py"))


def numbers() -> dict[str, object]:
    """Half-extents of 0.5, 0.05, 0.4 for the top; legs of 0.05 and 0.3 that stand at 0.8 of it."""

    def raw(*lengths: float) -> list[float]:
        return [math.log(math.expm1(length)) for length in lengths]

    return {"top": raw(0.5, 0.05, 0.4), "leg": raw(0.05, 0.3), "spread": 0.8}


def test_a_table_stands_on_four_legs(example):
    top, *legs = example["boxes"](numbers())
    unit = 900 / 0.7
    assert top.high == pytest.approx((0.5 * unit, 0.4 * unit, 900))
    assert top.low == pytest.approx((-0.5 * unit, -0.4 * unit, 0.6 * unit))
    assert len({(leg.low[0] > 0, leg.low[1] > 0) for leg in legs}) == 4
    for leg in legs:
        assert leg.low[2] == 0
        assert leg.high[2] - top.low[2] == pytest.approx(1.0)
        assert abs(leg.low[0] + leg.high[0]) / 2 == pytest.approx(0.8 * 0.5 * unit)


def test_the_numbers_are_those_of_the_example_it_builds_on(example):
    table = sys.modules["parametric_object"].Table(8)
    assert len(example["boxes"]({name: value.tolist() for name, value in table.state_dict().items()})) == 5
    half = torch.nn.functional.softplus(table.top.detach()).tolist()
    assert example["softplus"](table.top[0].item()) == pytest.approx(half[0])


def test_the_file_is_one_solid_of_the_volume_of_its_parts(example, tmp_path: Path):
    pytest.importorskip("OCP", reason="pip install cadquery-ocp", exc_type=ImportError)
    solids = example["boxes"](numbers())
    joined = solids[0].volume + sum(leg.volume * (1 - 1.0 / leg.high[2]) for leg in solids[1:])
    volume = example["write_step"](solids, tmp_path / "table.step", rounded=1.0)
    assert volume == pytest.approx(joined, rel=0.01)  # rounding takes a little
    text = (tmp_path / "table.step").read_text()
    assert text.startswith("ISO-10303-21;")
    assert text.count("MANIFOLD_SOLID_BREP(") == 1


def test_a_cad_kernel_reads_the_file_as_a_sound_solid_of_the_right_size(example, tmp_path: Path):
    pytest.importorskip("OCP", reason="pip install cadquery-ocp", exc_type=ImportError)
    from OCP.Bnd import Bnd_Box
    from OCP.BRepBndLib import BRepBndLib
    from OCP.BRepCheck import BRepCheck_Analyzer
    from OCP.BRepGProp import BRepGProp
    from OCP.GProp import GProp_GProps
    from OCP.IFSelect import IFSelect_RetDone
    from OCP.STEPControl import STEPControl_Reader

    written = example["write_step"](example["boxes"](numbers()), tmp_path / "table.step", rounded=1.0)
    reader = STEPControl_Reader()
    assert reader.ReadFile(str(tmp_path / "table.step")) == IFSelect_RetDone
    reader.TransferRoots()
    shape = reader.OneShape()
    assert BRepCheck_Analyzer(shape).IsValid()
    measured, bounds = GProp_GProps(), Bnd_Box()
    BRepGProp.VolumeProperties_s(shape, measured)
    assert measured.Mass() == pytest.approx(written, rel=1e-6)
    BRepBndLib.AddOptimal_s(shape, bounds)
    low, high = bounds.CornerMin(), bounds.CornerMax()
    sides = high.X() - low.X(), high.Y() - low.Y(), high.Z() - low.Z()
    assert sides == pytest.approx((2 * 0.5 * 900 / 0.7, 2 * 0.4 * 900 / 0.7, 900.0), abs=0.5)  # millimetres
