"""Runs in Blender's Python: installs the add-on from its zip, makes an object, retextures a cube; prints what came."""

import json
import sys
import time

import bpy

ADDON, FOLDER, COMMAND, OPTIONS = sys.argv[1:5]


def follow(module: object, limit: float = 5400.0) -> list[int]:
    """Do what Blender's timer would until the run is over; returns how many faces were seen, change by change."""
    seen, end = [], time.monotonic() + limit
    while module.tick() is not None:  # type: ignore[attr-defined]
        assert time.monotonic() < end
        faces = len(module.Running.object.data.polygons) if module.Running.object else 0  # type: ignore[attr-defined]
        if faces and (not seen or seen[-1] != faces):
            seen.append(faces)
        time.sleep(0.2)
    return seen


bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(filepath=ADDON, repo="user_default", enable_on_install=True)
name = "bl_ext.user_default.scoresmith"
module = sys.modules[name]
preferences = bpy.context.preferences.addons[name].preferences
shipped = preferences.command
preferences.folder, preferences.command = FOLDER, COMMAND or shipped

settings = bpy.context.scene.scoresmith
settings.prompt, settings.seed, settings.options = "a red ball", 1, OPTIONS
bpy.context.scene.cursor.location = (1, 2, 0)
begun = bpy.ops.scoresmith.generate()
busy = bpy.ops.scoresmith.generate.poll()
seen = follow(module)
assert module.Running.last == "Finished", module.Running.last
made = bpy.data.objects["a red ball"]
made_facts = {
    "begun": sorted(begun),
    "busy": busy,
    "seen": seen,
    "last": module.Running.last,
    "location": list(made.location),
    "faces": len(made.data.polygons),
    "meshes": len(bpy.data.meshes),
}
print("RESULT " + json.dumps(made_facts), flush=True)

bpy.ops.mesh.primitive_cube_add(size=2, location=(0, 3, 1))
cube = bpy.context.active_object
modifier = cube.modifiers.new("more", "SUBSURF")
modifier.subdivision_type, modifier.levels = "SIMPLE", 3
retextured = bpy.ops.scoresmith.retexture()
follow(module)
assert module.Running.last == "Finished", module.Running.last
new = bpy.data.objects["Cube retextured"]
corners = [new.matrix_world @ vertex.co for vertex in new.data.vertices]
print(
    "RESULT "
    + json.dumps(
        {
            "begun": sorted(retextured),
            "last": module.Running.last,
            "low": [min(corner[axis] for corner in corners) for axis in range(3)],
            "high": [max(corner[axis] for corner in corners) for axis in range(3)],
            "hidden": cube.hide_get(),
            "textured": any(
                node.type == "TEX_IMAGE" for material in new.data.materials for node in material.node_tree.nodes
            ),
        }
    ),
    flush=True,
)
settings.options = "--no-such-option"
bpy.ops.scoresmith.generate()
follow(module)
print("RESULT " + json.dumps({"last": module.Running.last}), flush=True)
