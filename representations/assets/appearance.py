"""How an asset looks at places on it: colour, opacity, roughness, metallic, emission, normal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from representations.assets.asset import Asset, MapName, Material
from representations.assets.colour_space import linear_to_srgb, srgb_to_linear
from representations.assets.textures import decoded_normals, sample_texture
from representations.assets.vertex_buffers import VertexBuffers, vertex_buffers
from representations.geometry.mesh import Floats, Integers


@dataclass(frozen=True)
class Places:
    """Places on an asset.

    Attributes:
        face: (P,).
        barycentric: (P, 3) weights of the faces' corners.
    """

    face: Integers
    barycentric: Floats

    def of_corners(self, values: Floats) -> Floats:
        """(P, C) values (F, 3, C) of corners, at the places."""
        return np.einsum("pk,pkc->pc", self.barycentric, values[self.face])

    def at(self, rows: np.ndarray) -> Places:
        """Some of them."""
        return Places(self.face[rows], self.barycentric[rows])


def corners_of(asset: Asset) -> Places:
    """All corners of all faces, (3F,)."""
    count = len(asset.mesh.faces)
    return Places(np.repeat(np.arange(count), 3), np.tile(np.eye(3), (count, 1)))


def colours_at(asset: Asset, places: Places) -> Floats:
    """(P, 4) sRGB and opacity in [0, 1]: the material's factor times vertex colours times texture, in linear light."""
    found = np.ones((len(places.face), 4))
    vertex = asset.colours_of_corners
    for material, rows in _materials_at(asset, places):
        here = places.at(rows)
        parts = []
        if vertex is not None:
            parts.append(here.of_corners(vertex))
        if (texture := _map_at(asset, material, "base_colour", here)) is not None:
            parts.append(texture)
        found[rows] = _product(material, parts)
    return found


def _product(material: Material, parts: list[Floats]) -> Floats:
    """(P, 4) of colours (P, 3 or 4) in sRGB and a material's factor; one row if there are no colours."""
    factor = np.array(material.base_factor)
    if len(parts) == 1 and (factor == 1).all():
        colour = parts[0][:, :3]  # as it is, without rounding
    else:
        light = factor[:3] * np.ones((1, 3))
        for part in parts:
            light = light * srgb_to_linear(part[:, :3])
        colour = linear_to_srgb(light)
    opacity = np.full(len(colour), factor[3])
    for part in parts:
        opacity = opacity * (part[:, 3] if part.shape[1] == 4 else 1.0)
    if material.alpha_mode == "opaque":
        opacity = np.ones(len(colour))
    return np.concatenate([np.broadcast_to(colour, (len(opacity), 3)), opacity[:, None]], axis=1)


def surfaces_at(asset: Asset, places: Places) -> Floats:
    """(P, 2) roughness and metallic in [0, 1]."""
    found = np.ones((len(places.face), 2))
    for material, rows in _materials_at(asset, places):
        numbers = np.array([[material.roughness, material.metallic]])
        texture = _map_at(asset, material, "metallic_roughness", places.at(rows))
        found[rows] = numbers if texture is None else numbers * texture[:, 1:3]
    return found


def emissions_at(asset: Asset, places: Places) -> Floats:
    """(P, 3) emitted linear light."""
    found = np.zeros((len(places.face), 3))
    for material, rows in _materials_at(asset, places):
        factor = np.array([material.emission_factor])
        texture = _map_at(asset, material, "emission", places.at(rows)) if factor.any() else None
        found[rows] = factor if texture is None else factor * srgb_to_linear(texture[:, :3])
    return found


def normals_at(asset: Asset, places: Places, buffers: VertexBuffers | None = None) -> Floats:
    """(P, 3) unit normals; with a normal map x T + y B + z N (Mikkelsen 2008)."""
    normal = places.of_corners(asset.corner_normals)
    for number, material in enumerate(asset.materials):
        rows = np.flatnonzero(asset.faces_of(number)[places.face])
        here = places.at(rows)
        texture = _map_at(asset, material, "normal", here) if len(rows) else None
        if texture is None:
            continue
        x, y, z = decoded_normals(texture[:, :3]).T
        own = _for_tangents(asset, material) if buffers is None or buffers.tangents is None else buffers
        assert own.tangents is not None
        tangents = own.tangents[own.faces[here.face]]
        tangent = np.einsum("pk,pkc->pc", here.barycentric, tangents[:, :, :3])
        bitangent = tangents[:, 0, 3:] * np.cross(normal[rows], tangent)
        x, y = x * material.normal_scale, y * material.normal_scale
        normal[rows] = x[:, None] * tangent + y[:, None] * bitangent + z[:, None] * normal[rows]
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _for_tangents(asset: Asset, material: Material) -> VertexBuffers:
    """The buffers of an asset whose first texture coordinates are those of a material's normal map."""
    uv = asset.uv_sets[material.sampling("normal").uv_set]
    plain = replace(asset, uv=uv, more_uv=(), material=Material(normal=material.normal), more_materials=())
    return vertex_buffers(replace(plain, material_of=None, corner_colours=None, normals=asset.corner_normals))


def _materials_at(asset: Asset, places: Places) -> list[tuple[Material, np.ndarray]]:
    """Each material and the places that have it."""
    if asset.material_of is None:
        return [(asset.material, np.arange(len(places.face)))]
    of_place = asset.material_of[places.face]
    rows = [np.flatnonzero(of_place == number) for number in np.unique(of_place)]
    return [(asset.materials[int(of_place[row[0]])], row) for row in rows]


def _map_at(asset: Asset, material: Material, name: MapName, places: Places) -> Floats | None:
    """(P, C) what a map shows; None if there is none."""
    image = getattr(material, name)
    sets = asset.uv_sets
    sampling = material.samplings.get(name)
    number = 0 if sampling is None else sampling.uv_set
    if image is None or number >= len(sets):
        return None
    return sample_texture(image, places.of_corners(sets[number]), sampling)
