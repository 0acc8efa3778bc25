"""Which triangle does each pixel see: a z-buffer for triangle meshes on the CPU.

Visibility only. Shading, textures and antialiasing belong to the caller, who looks attributes up with the face indices
and perspective-correct barycentric coordinates returned here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from representations.compilation import compiled_exactly
from representations.geometry.topology import require_faces


@dataclass(frozen=True)
class Visibility:
    """What each pixel of an image sees; row 0 is the top of the image.

    Attributes:
        face: (H, W) int32, index of the visible face, -1 where there is none.
        barycentric: (H, W, 3) float32, perspective-correct weights of the face's three vertices; they sum to 1, and are
            0 where nothing is seen.
        depth: (H, W) float32, clip-space w of the visible point, for a perspective camera its distance along the
            viewing axis; infinite where nothing is seen.
    """

    face: NDArray[np.int32]
    barycentric: NDArray[np.float32]
    depth: NDArray[np.float32]


@dataclass(frozen=True)
class Cutout:
    """Holes that a texture cuts into faces (leaves on cards, lattices): points on them are not seen.

    Attributes:
        uv: (F, 3, 2) float32, texture coordinates of each face's corners, repeating outside [0, 1], v upwards.
        opaque: (T, S, S) bool, one square mask per texture, row 0 at the top (v = 1); False is a hole.
        texture: (F,) int32, index of each face's mask, -1 for faces without holes.
    """

    uv: NDArray[np.float32]
    opaque: NDArray[np.bool_]
    texture: NDArray[np.int32]


def rasterize(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    height: int,
    width: int,
    cutout: Cutout | None = None,
) -> Visibility:
    """Finds the nearest face at every pixel centre. Both sides of a face are visible.

    Args:
        vertices: (V, 4) vertices in clip space (OpenGL convention: x right, y up, visible where |x|, |y| <= w).
        faces: (F, 3) vertex indices.
        height: rows of the image.
        width: columns of the image.
        cutout: holes in the faces, or None.

    Returns:
        The visibility. Of faces at exactly equal depth the one with the lowest index wins. Faces with a vertex at
        w <= 0 (beside or behind the camera) are left out; there is no clipping against a near plane.

    Raises:
        ValueError: shapes are wrong or a face names a vertex that does not exist.
    """
    vertices = np.ascontiguousarray(vertices, dtype=np.float32)
    if vertices.ndim != 2 or vertices.shape[1] != 4:
        raise ValueError(f"vertices must have the shape (V, 4) (clip space), not {vertices.shape}")
    if height < 1 or width < 1:
        raise ValueError(f"the image must have at least one pixel, not {height} x {width}")
    require_faces(faces, len(vertices))
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    if cutout is None:
        cutout = Cutout(
            np.zeros((1, 3, 2), np.float32), np.ones((1, 1, 1), np.bool_), np.full(len(faces), -1, np.int32)
        )
    else:
        cutout = sound_cutout(cutout, len(faces))
    face = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _fill(vertices, faces, cutout.uv, cutout.opaque, cutout.texture, face, barycentric, depth)
    return Visibility(face, barycentric, depth)


def sound_cutout(cutout: Cutout, face_count: int) -> Cutout:
    """The holes as the kernel takes them. Raises ValueError if they are not of these faces or name no mask there is."""
    uv = np.ascontiguousarray(cutout.uv, dtype=np.float32)
    opaque = np.ascontiguousarray(cutout.opaque, dtype=np.bool_)
    texture = np.ascontiguousarray(cutout.texture, dtype=np.int32)
    if uv.shape != (face_count, 3, 2) or texture.shape != (face_count,):
        raise ValueError(f"a cutout of {face_count} faces has no uv of {uv.shape} and textures of {texture.shape}")
    if opaque.ndim != 3 or opaque.shape[1] != opaque.shape[2] or (len(opaque) and opaque.shape[1] < 1):
        raise ValueError(f"the masks of a cutout must have the shape (T, S, S), not {opaque.shape}")
    if face_count and not -1 <= int(texture.min()) <= int(texture.max()) < len(opaque):
        raise ValueError(f"a cutout names masks {texture.min()}..{texture.max()} of {len(opaque)}")
    if not bool(np.isfinite(uv[texture >= 0]).all()):
        raise ValueError("some texture coordinates of a cutout are not finite")
    return Cutout(uv, opaque, texture)


@compiled_exactly
def _fill(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    uv: NDArray[np.float32],
    opaque: NDArray[np.bool_],
    texture: NDArray[np.int32],
    face_out: NDArray[np.int32],
    barycentric_out: NDArray[np.float32],
    depth_out: NDArray[np.float32],
) -> None:
    height, width = face_out.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        wa, wb, wc = vertices[a, 3], vertices[b, 3], vertices[c, 3]
        if wa <= 0.0 or wb <= 0.0 or wc <= 0.0:
            continue
        # Pixel coordinates of the corners; pixel (row, column) has its centre at (column + 0.5, row + 0.5).
        xa, ya = (vertices[a, 0] / wa + 1.0) * 0.5 * width, (1.0 - vertices[a, 1] / wa) * 0.5 * height
        xb, yb = (vertices[b, 0] / wb + 1.0) * 0.5 * width, (1.0 - vertices[b, 1] / wb) * 0.5 * height
        xc, yc = (vertices[c, 0] / wc + 1.0) * 0.5 * width, (1.0 - vertices[c, 1] / wc) * 0.5 * height
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if abs(area) < 1e-12:
            continue
        first_column = max(0, int(np.ceil(min(xa, xb, xc) - 0.5)))
        last_column = min(width - 1, int(np.floor(max(xa, xb, xc) - 0.5)))
        first_row = max(0, int(np.ceil(min(ya, yb, yc) - 0.5)))
        last_row = min(height - 1, int(np.floor(max(ya, yb, yc) - 0.5)))
        for row in range(first_row, last_row + 1):
            y = row + 0.5
            for column in range(first_column, last_column + 1):
                x = column + 0.5
                # Screen-space barycentric coordinates, then divided by w: attributes are linear in 1 / w on the screen.
                sa = ((xb - x) * (yc - y) - (yb - y) * (xc - x)) / area
                sb = ((xc - x) * (ya - y) - (yc - y) * (xa - x)) / area
                sc = 1.0 - sa - sb
                if sa < 0.0 or sb < 0.0 or sc < 0.0:
                    continue
                pa, pb, pc = sa / wa, sb / wb, sc / wc
                depth = 1.0 / (pa + pb + pc)
                if depth >= depth_out[row, column]:
                    continue
                pa, pb, pc = pa * depth, pb * depth, pc * depth
                mask = texture[f]
                if mask >= 0:
                    size = opaque.shape[1]
                    u = pa * uv[f, 0, 0] + pb * uv[f, 1, 0] + pc * uv[f, 2, 0]
                    v = pa * uv[f, 0, 1] + pb * uv[f, 1, 1] + pc * uv[f, 2, 1]
                    texel_x = min(int((u - np.floor(u)) * size), size - 1)
                    texel_y = min(int((1.0 - (v - np.floor(v))) * size), size - 1)
                    if not opaque[mask, texel_y, texel_x]:
                        continue
                face_out[row, column] = f
                depth_out[row, column] = depth
                barycentric_out[row, column, 0] = pa
                barycentric_out[row, column, 1] = pb
                barycentric_out[row, column, 2] = pc


KERNEL = _fill
"""By which `scoresmith doctor` sees whether kernels compile, and where they are kept."""
