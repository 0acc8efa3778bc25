"""Geometry that glTF holds compressed: Draco and meshopt, decoded by the packages of their makers' libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from representations.assets.formats.gltf_numbers import GltfError, members, part, whole
from representations.geometry.mesh import Integers

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
HELP = "install it with `pip install DracoPy meshoptimizer`, or export the file without compression"


def decoded_view(source: bytes, entry: dict[str, Any]) -> bytes:
    """The bytes of a buffer view that is compressed by meshopt (EXT_meshopt_compression).

    Raises:
        GltfError: if it is damaged, or the package `meshoptimizer` is not installed.
    """
    try:
        import meshoptimizer
    except (ImportError, OSError):
        raise GltfError(
            f"it is compressed by meshopt, for which the package meshoptimizer is missing; {HELP}"
        ) from None
    count, stride = whole(part(entry, "count")), whole(part(entry, "byteStride"))
    mode, kind = part(entry, "mode"), entry.get("filter", "NONE")
    data = np.frombuffer(source, np.uint8)
    try:
        if mode == "ATTRIBUTES":
            if stride % 4 or not 4 <= stride <= 256:
                raise GltfError(f"a view that is compressed by meshopt has a stride of {stride} bytes")
            values = meshoptimizer.decode_vertex_buffer(count, stride, data, np.dtype((np.void, stride)))
            return _filtered(meshoptimizer, np.ascontiguousarray(values).view(np.uint8), count, stride, kind).tobytes()
        if mode in ("TRIANGLES", "INDICES") and stride in (2, 4):
            if mode == "TRIANGLES" and count % 3:
                raise GltfError("a list of triangles that is compressed by meshopt is not one of threes")
            decode = meshoptimizer.decode_index_buffer if mode == "TRIANGLES" else meshoptimizer.decode_index_sequence
            return decode(count, 4, data).astype("<u4" if stride == 4 else "<u2").tobytes()
    except (RuntimeError, ValueError) as error:
        if isinstance(error, GltfError):
            raise
        raise GltfError(f"a view that is compressed by meshopt is damaged ({str(error)[:80]})") from None
    raise GltfError(f"a view is compressed by meshopt in an unknown way ({str(mode)[:20]})")


def _filtered(meshoptimizer: Any, values: np.ndarray, count: int, stride: int, kind: Any) -> np.ndarray:
    filters = {"OCTAHEDRAL": ("decode_filter_oct", (4, 8)), "QUATERNION": ("decode_filter_quat", (8,))}
    if kind in ("NONE", None):
        return values
    if kind == "EXPONENTIAL":
        return meshoptimizer.decode_filter_exp(values, count, stride)
    if kind not in filters or stride not in filters[kind][1]:
        raise GltfError(f"a view is compressed by meshopt with an unknown filter ({str(kind)[:20]})")
    return getattr(meshoptimizer, filters[kind][0])(values, count, stride)


def decoded_primitive(source: bytes, entry: dict[str, Any], most_faces: int) -> tuple[Integers, dict[str, np.ndarray]]:
    """(F, 3) faces of a primitive that is compressed by Draco, and its attributes by glTF's names.

    Raises:
        GltfError: if it is damaged or too large, or the package `DracoPy` is not installed.
    """
    try:
        import DracoPy
    except ImportError:
        raise GltfError(f"it is compressed by Draco, for which the package DracoPy is missing; {HELP}") from None
    try:
        mesh = DracoPy.decode(source)
        faces = np.asarray(mesh.faces, dtype=np.int64).reshape(-1, 3)
        known = {attribute["unique_id"]: np.asarray(attribute["data"]) for attribute in mesh.attributes}
    except Exception as error:  # the decoder fails in several ways
        raise GltfError(f"what Draco compressed is damaged ({type(error).__name__})") from None
    if len(faces) > most_faces:
        raise GltfError(f"it has more than {most_faces:,} triangles; simplify it elsewhere first")
    attributes = {}
    for name, number in members(entry, "attributes").items():
        if number not in known:
            raise GltfError(f"what Draco compressed lacks the attribute {name[:30]}")
        values = known[number]
        attributes[name] = values.reshape(len(values), -1)
    return faces, attributes
