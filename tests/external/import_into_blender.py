"""Runs in Blender's Python: imports files and prints, as one JSON line each, what Blender has made of them."""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

IMPORTERS = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
}


def look_at(path: str) -> dict:
    """Import one file into an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    IMPORTERS[Path(path).suffix](path)
    meshes = [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]
    corners = np.array([thing.matrix_world @ vertex.co for thing in meshes for vertex in thing.data.vertices])
    mesh = meshes[0].data
    colours = mesh.color_attributes[0] if mesh.color_attributes else None
    return {
        "file": path,
        "objects": len(meshes),
        "faces": sum(len(thing.data.polygons) for thing in meshes),
        "low": corners.min(axis=0).tolist(),
        "high": corners.max(axis=0).tolist(),
        "materials": [material.name for material in mesh.materials if material],
        "images": images_of(mesh),
        "uv_layers": len(mesh.uv_layers),
        "mean_vertex_colour": mean_colour(colours),
        "tangents": tangents_of(mesh) if mesh.uv_layers and Path(path).suffix == ".glb" else None,
    }


def images_of(mesh: bpy.types.Mesh) -> dict:
    """What each image of the first material is connected to: its size and its mean colour."""
    found = {}
    for node in mesh.materials[0].node_tree.nodes if mesh.materials and mesh.materials[0] else []:
        if node.type == "TEX_IMAGE" and node.image is not None:
            pixels = np.array(node.image.pixels[:]).reshape(-1, 4)[:, :3]
            target = node.outputs["Color"].links[0].to_node.type if node.outputs["Color"].links else ""
            found[target] = {
                "size": list(node.image.size),
                "mean": pixels.mean(axis=0).tolist(),
                "space": node.image.colorspace_settings.name,
            }
    return found


def mean_colour(attribute: bpy.types.Attribute | None) -> list | None:
    """The mean of a colour attribute, as Blender shows it (sRGB)."""
    if attribute is None:
        return None
    return np.array([list(entry.color_srgb) for entry in attribute.data])[:, :3].mean(axis=0).tolist()


def tangents_of(mesh: bpy.types.Mesh) -> list:
    """Position, tangent and sign of every 97th corner, as Blender's own MikkTSpace has them."""
    mesh.calc_tangents()
    chosen = list(mesh.loops)[::97]
    return [[*mesh.vertices[loop.vertex_index].co, *loop.tangent, loop.bitangent_sign] for loop in chosen]


for name in sys.argv[1:]:
    print("RESULT " + json.dumps(look_at(name)), flush=True)
