"""What an artist opens: a mesh with texture coordinates and materials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from representations.geometry.mesh import Floats, Integers, Mesh

Image = NDArray[np.uint8]

Wrap = Literal["repeat", "clamp", "mirror"]
"""How a texture goes on outside the unit square."""

AlphaMode = Literal["opaque", "mask", "blend"]
"""Whether transparency is ignored, decides by a threshold, or mixes with what is behind."""

MapName = Literal["base_colour", "metallic_roughness", "normal", "occlusion", "emission"]
MAPS: tuple[MapName, ...] = get_args(MapName)
"""The images of a material, by the names of its attributes."""


@dataclass(frozen=True)
class Sampling:
    """How an image is looked up.

    Attributes:
        wrap: along u and v.
        magnified, minified: OpenGL's numbers of the filters, as glTF has them (9728 is nearest, 9729 linear, ...);
            None leaves it to the program that draws.
        uv_set: which texture coordinates: 0 for `Asset.uv`, k for ``Asset.more_uv[k - 1]``.
    """

    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    magnified: int | None = None
    minified: int | None = None
    uv_set: int = 0


@dataclass(frozen=True)
class Material:
    """A surface in the metallic-roughness model, as glTF has it (Khronos glTF 2.0, section 3.9).

    Attributes:
        base_colour: (H, W, 3 or 4) sRGB bytes, row 0 at the top (v = 1), the fourth channel opacity; or None.
        normal: (H, W, 3) tangent-space normals as bytes, +Y up as in OpenGL: (128, 128, 255) is flat; or None.
        roughness: 0 is a mirror, 1 is chalk; multiplies the map's.
        metallic: 0 for everything that is not bare metal; multiplies the map's.
        base_factor: (4,) linear red, green, blue and opacity in [0, 1], which multiply the map and vertex colours.
        metallic_roughness: (H, W, 3) bytes: green is roughness, blue is metallic; or None.
        emission: (H, W, 3) sRGB bytes, or None.
        emission_factor: (3,) linear light, not negative; multiplies the map.
        occlusion: (H, W, 3) bytes, of which red is how much ambient light arrives; or None.
        occlusion_strength: in [0, 1].
        normal_scale: multiplies x and y of the normal map.
        alpha_mode: what opacity means.
        alpha_cutoff: the threshold of "mask".
        two_sided: whether the back is drawn; None: only if the mesh is not watertight.
        unlit: whether the base colour is shown as it is (KHR_materials_unlit).
        name: in its file.
        samplings: of maps, by name. Those without one clamp where the texture coordinates lie in the unit square.
    """

    base_colour: Image | None = None
    normal: Image | None = None
    roughness: float = 0.9
    metallic: float = 0.0
    base_factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic_roughness: Image | None = None
    emission: Image | None = None
    emission_factor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    occlusion: Image | None = None
    occlusion_strength: float = 1.0
    normal_scale: float = 1.0
    alpha_mode: AlphaMode = "opaque"
    alpha_cutoff: float = 0.5
    two_sided: bool | None = None
    unlit: bool = False
    name: str = ""
    samplings: Mapping[MapName, Sampling] = field(default_factory=dict)

    @property
    def maps(self) -> dict[MapName, Image]:
        """The images that it has, by name."""
        images = {name: getattr(self, name) for name in MAPS}
        return {name: image for name, image in images.items() if image is not None}

    @property
    def uv_sets(self) -> set[int]:
        """The numbers of the texture coordinates that its maps use."""
        return {self.sampling(name).uv_set for name in self.maps}

    def sampling(self, name: MapName) -> Sampling:
        """How a map is looked up; where nothing is said, it repeats."""
        return self.samplings.get(name, Sampling())


@dataclass(frozen=True)
class Asset:
    """A mesh and how it looks. Its arrays must not be changed in place.

    The texture coordinates belong to the corners of faces and not to vertices, so that a mesh stays closed where its
    texture is cut open. Formats that know coordinates of vertices only get split vertices when they are written.

    Attributes:
        mesh: the triangles, possibly with vertex colours, which multiply the base colour.
        uv: (F, 3, 2) texture coordinates of each face's corners, v upwards; or None.
        material: maps and numbers; maps need `uv`.
        normals: (F, 3, 3) unit normals of each face's corners, for surfaces with hard edges; None stands for
            `mesh.normals`, smooth everywhere.
        corner_colours: (F, 3, 3 or 4) sRGB and opacity in [0, 1] of each face's corners, where one vertex has several;
            None stands for the mesh's own.
        more_materials: beside the first one.
        material_of: (F,) which of `materials` each face has; None: the first.
        polygon_of: (F,) the number of the polygon that each triangle is a part of, where a file or a program made
            polygons; triangles of one follow each other. None: all are triangles.
        more_uv: further texture coordinates, which some maps use (`Sampling.uv_set`).
        name: of the object, as programs list it; "" stands for that of its file.
        about: where it comes from, such as a prompt and a seed; kept by formats that have a place for it (GLB, OBJ).
    """

    mesh: Mesh
    uv: Floats | None = None
    material: Material = field(default_factory=Material)
    normals: Floats | None = None
    corner_colours: Floats | None = None
    more_materials: tuple[Material, ...] = ()
    material_of: Integers | None = None
    polygon_of: Integers | None = None
    more_uv: tuple[Floats, ...] = ()
    name: str = ""
    about: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def corner_normals(self) -> Floats:
        """(F, 3, 3) unit normals of each face's corners."""
        return self.mesh.normals[self.mesh.faces] if self.normals is None else self.normals

    @property
    def colours_of_corners(self) -> Floats | None:
        """(F, 3, 3 or 4) sRGB in [0, 1], and opacity, of each face's corners; None if there are no such colours."""
        if self.corner_colours is not None:
            return self.corner_colours
        return None if self.mesh.colours is None else self.mesh.colours[self.mesh.faces]

    @property
    def materials(self) -> tuple[Material, ...]:
        """All of them, in the order of `material_of`."""
        return (self.material, *self.more_materials)

    @property
    def uv_sets(self) -> tuple[Floats, ...]:
        """All texture coordinates, in the order of `Sampling.uv_set`."""
        return () if self.uv is None else (self.uv, *self.more_uv)

    @property
    def tells_fronts(self) -> bool:
        """Whether it comes from a format that says which side of a face is drawn, as glTF does and OBJ does not."""
        return any(material.two_sided is not None for material in self.materials)

    @property
    def is_textured(self) -> bool:
        """Whether an image gives some part its base colour."""
        return self.uv is not None and any(material.base_colour is not None for material in self.materials)

    def faces_of(self, number: int) -> NDArray[np.bool_]:
        """(F,) which faces have a material."""
        if self.material_of is None:
            return np.full(len(self.mesh.faces), number == 0)
        return np.asarray(self.material_of == number)
