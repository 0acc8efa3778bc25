"""Objects of a scene, to and from GLB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy


def show(path: Path, shown: bpy.types.Object | None, name: str, location: Sequence[float]) -> bpy.types.Object:
    """Put the mesh of a file into the scene.

    Args:
        path: of a GLB file with one mesh.
        shown: the object that is given the mesh in place of its own, and keeps its place; None makes one.
        name: of a new object.
        location: of a new object, in metres.

    Raises RuntimeError, as Blender does, if the file cannot be read or holds no mesh.
    """
    before, chosen = set(bpy.data.objects), selection()
    bpy.ops.import_scene.gltf(filepath=str(path))
    new = [one for one in bpy.data.objects if one not in before]
    meshes = [one for one in new if one.type == "MESH"]
    if not meshes:
        raise RuntimeError(f"{path} holds no mesh")
    made = meshes[0]
    for one in new:
        if one is not made:
            bpy.data.objects.remove(one)
    if shown is None or not is_in_scene(shown):
        made.name, made.location = name, location
        return made
    old = shown.data
    shown.data = made.data
    bpy.data.objects.remove(made)
    select(*chosen)  # who works on something else meanwhile goes on with it
    if old.users == 0:
        bpy.data.meshes.remove(old)
    return shown


def is_in_scene(thing: bpy.types.Object) -> bool:
    """Whether the user has not deleted it meanwhile."""
    try:
        return thing.name in bpy.context.scene.objects
    except ReferenceError:
        return False


def exported(chosen: bpy.types.Object, path: Path) -> Path:
    """Write an object, with its modifiers and where it is, as a GLB file; the selection stays. Returns the path."""
    before = selection()
    select(chosen, [chosen])
    try:
        bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLB", use_selection=True, export_apply=True)
    finally:
        select(*before)
    return path


def selection() -> tuple[bpy.types.Object | None, list[bpy.types.Object]]:
    """The active object, and all that are selected."""
    return bpy.context.view_layer.objects.active, [one for one in bpy.context.scene.objects if one.select_get()]


def select(active: bpy.types.Object | None, chosen: Sequence[bpy.types.Object]) -> None:
    """Select these, and no others."""
    for one in bpy.context.scene.objects:
        one.select_set(False)
    for one in chosen:
        one.select_set(True)
    bpy.context.view_layer.objects.active = active
