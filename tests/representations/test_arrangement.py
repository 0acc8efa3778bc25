"""Objects in their places: cameras, depths and files agree about where things are."""

import json
import math
import struct

import pytest
import torch
from torch import Tensor, nn

from representations.arrangement import Arrangement, ArrangementDraw, Place, PlacedCameras
from representations.assets.asset import Asset
from representations.assets.formats.gltf_writing import Node, glb_bytes, scene_glb_bytes
from representations.cameras import Cameras, turntable
from representations.rendering import Rendering
from tests.representations.shapes import box

PLACE = Place((0.3, -0.2, 0.4), math.radians(40), 0.5)


def test_placed_cameras_see_what_cameras_see_of_the_moved_point():
    cameras = turntable(3, math.radians(20), 8)
    placed = PlacedCameras.of(cameras, PLACE)
    point = torch.tensor([0.3, 0.5, -0.7, 1.0])
    moved = PLACE.matrix(point) @ point
    torch.testing.assert_close(placed.world_to_camera() @ point, cameras.world_to_camera() @ moved)
    origins, directions = placed.rays()
    theirs = cameras.rays()
    there = origins[1, 3, 4] + 2.0 * directions[1, 3, 4]
    expected = theirs[0][1, 3, 4] + 2.0 * PLACE.size * theirs[1][1, 3, 4]  # a length of 2 is 1 in the scene
    torch.testing.assert_close(PLACE.matrix(point)[:3, :3] @ there + torch.tensor(PLACE.position), expected)
    assert isinstance(placed[1:2].to("cpu"), PlacedCameras)
    assert placed[1:2].place == PLACE


class Wall(nn.Module):
    """Something of one colour that fills all pixels at a depth."""

    def __init__(self, colour: float, depth: float, opacity: float = 1.0) -> None:
        super().__init__()
        self.colour, self.depth, self.opacity = nn.Parameter(torch.tensor(colour)), depth, opacity

    def forward(self, cameras: Cameras) -> Rendering:
        shape = (len(cameras), 1, cameras.size, cameras.size)
        opacity = torch.full(shape, self.opacity)
        image = self.colour * opacity.expand(-1, 3, -1, -1) + (1 - opacity) * cameras.background[:, :, None, None]
        return Rendering(image, opacity, torch.full(shape, self.depth), None)

    def penalty(self, rendering: Rendering, progress: float) -> Tensor:
        return rendering.opacity.mean()

    def parameter_groups(self):
        return [{"params": list(self.parameters())}]


def test_the_nearest_is_in_front_in_the_units_of_the_scene():
    """Depths of 3 and 2 in units of 0.5 and 1: the first is nearer, though its own number is larger."""
    together = Arrangement([Wall(0.8, 3.0, 0.5), Wall(0.2, 2.0)], [Place(size=0.5), Place()])
    seen = together(ArrangementDraw(None, turntable(2, 0.0, 4)))
    assert seen.image.detach().unique().tolist() == pytest.approx([0.5 * 0.8 + 0.5 * 0.2])
    assert seen.opacity.unique().tolist() == [1.0]
    alone = together(ArrangementDraw(0, turntable(2, 0.0, 4)))
    assert alone.image.detach().unique().tolist() == pytest.approx([0.5 * 0.8 + 0.5])
    assert together.penalty(seen, 0.0).item() == pytest.approx(1.5)
    assert together.penalty(alone, 0.0).item() == pytest.approx(0.5)
    assert len(together.parameter_groups()) == 2


def test_the_whole_and_each_object_have_their_turn():
    together = Arrangement([Wall(0.8, 3.0), Wall(0.2, 2.0)], [Place(), Place()])
    rng = torch.Generator().manual_seed(0)
    assert {together.draw(1, rng).alone for _ in range(40)} == {None, 0, 1}
    with pytest.raises(ValueError, match="needs a place"):
        Arrangement([Wall(0.8, 3.0)], [])
    for bad in ({"size": 0.0}, {"position": (math.inf, 0, 0)}, {"turn": math.nan}):
        with pytest.raises(ValueError, match="finite"):
            Place(**bad)


def document(content: bytes) -> dict:
    length = struct.unpack("<I", content[12:16])[0]
    return json.loads(content[20 : 20 + length])


def test_a_scene_file_has_a_named_node_for_each_object():
    asset = Asset(box())
    nodes = document(scene_glb_bytes([Node(asset, "one"), Node(asset, "two", PLACE.position, PLACE.turn, PLACE.size)]))[
        "nodes"
    ]
    assert [node["name"] for node in nodes] == ["one", "two"]
    assert nodes[0].keys() == {"mesh", "name"}
    assert nodes[1]["translation"] == pytest.approx(PLACE.position)
    assert nodes[1]["rotation"] == pytest.approx([0, math.sin(PLACE.turn / 2), 0, math.cos(PLACE.turn / 2)])
    assert nodes[1]["scale"] == [0.5] * 3
    assert document(glb_bytes(asset, "one"))["nodes"] == nodes[:1]
    with pytest.raises(ValueError, match="an object"):
        scene_glb_bytes([])


def test_a_reader_finds_the_objects_where_cameras_saw_them(tmp_path):
    import trimesh

    path = tmp_path / "scene.glb"
    path.write_bytes(scene_glb_bytes([Node(Asset(box()), "two", PLACE.position, PLACE.turn, PLACE.size)]))
    read = trimesh.load(path, force="mesh")
    corner = torch.cat([torch.tensor(box().vertices[0]).double(), torch.ones(1).double()])
    moved = (PLACE.matrix(corner) @ corner)[:3]
    assert min(float((torch.tensor(vertex) - moved).norm()) for vertex in read.vertices) < 1e-5
