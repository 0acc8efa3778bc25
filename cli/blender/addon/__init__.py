"""Scoresmith in the sidebar of the 3D view: a prompt becomes an object, or new colours for the selected mesh."""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import bpy

from .making import Making
from .objects import exported, show

METHODS = (
    ("sds", "SDS", "The steadiest"),
    ("nfsd", "NFSD", "Less noise"),
    ("vsd", "VSD", "Trains a critic: slower, with more detail"),
    ("csd", "CSD", "Guidance alone: colours run wild"),
)
PRESETS = (("fast", "Fast", "About a minute"), ("quality", "Quality", "Several minutes"))
LOOKED_EVERY = 0.5
"""Seconds between two looks at the run."""


class Running:
    """The run that goes on, and the object that shows it.

    Attributes:
        making: the run; None while there is none.
        object: what shows it in the scene; None until its first surface.
        location: where the object is put when it appears.
        shown: the file that is shown.
        last: what became of the run before, in words.
    """

    making: Making | None = None
    object: bpy.types.Object | None = None
    location: tuple[float, float, float] = (0.0, 0.0, 0.0)
    name: str = ""
    shown: Path | None = None
    last: str = ""


def default_command() -> str:
    """The command of the environment that has made this zip."""
    return str(json.loads((Path(__file__).parent / "command.json").read_text(encoding="utf-8")))


class ScoresmithPreferences(bpy.types.AddonPreferences):
    """How scoresmith is run, and where its runs are kept."""

    bl_idname = __package__

    __annotations__ = {  # where Blender looks for properties, which are no types
        "command": bpy.props.StringProperty(
            name="Command", default=default_command(), description="How scoresmith is run, as in a terminal"
        ),
        "folder": bpy.props.StringProperty(
            name="Runs", subtype="DIR_PATH", description="Where runs are kept; empty: they go with the session"
        ),
    }

    def draw(self, context: bpy.types.Context) -> None:
        """Show both."""
        del context
        self.layout.prop(self, "command")
        self.layout.prop(self, "folder")


class ScoresmithSettings(bpy.types.PropertyGroup):
    """What the panel asks for."""

    __annotations__ = {
        "prompt": bpy.props.StringProperty(name="Prompt", description="What to make", default="a red armchair"),
        "seed": bpy.props.IntProperty(name="Seed", description="Another seed is another object", min=0),
        "method": bpy.props.EnumProperty(name="Method", items=METHODS),
        "preset": bpy.props.EnumProperty(name="Preset", items=PRESETS),
        "options": bpy.props.StringProperty(
            name="Options", description="More options of `scoresmith generate`, for example --steps 100"
        ),
    }


class Begin(bpy.types.Operator):
    """What both buttons have in common."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """One run at a time."""
        del context
        return Running.making is None

    def begin(self, context: bpy.types.Context, options: list[str], name: str, location: Any) -> set[str]:
        """Start the command; returns what Blender wants to know."""
        settings = context.scene.scoresmith
        options = [*options, f"--seed={settings.seed}", f"--method={settings.method}", f"--preset={settings.preset}"]
        try:
            folder = folder_for(settings.prompt)
            Running.making = Making(command(), settings.prompt, folder, [*options, *settings.options.split()])
        except (OSError, ValueError) as error:
            self.report({"ERROR"}, f"scoresmith cannot be run: {error}")
            return {"CANCELLED"}
        Running.object, Running.shown, Running.last = None, None, ""
        Running.name, Running.location = name, tuple(location)
        bpy.app.timers.register(tick, first_interval=LOOKED_EVERY)
        return {"FINISHED"}


class Generate(Begin):
    """A button."""

    bl_idname = "scoresmith.generate"
    bl_label = "Make"
    bl_description = "Make an object of the prompt, at the 3D cursor"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Begin a run."""
        return self.begin(context, [], context.scene.scoresmith.prompt, context.scene.cursor.location)


class Retexture(Begin):
    """A button."""

    bl_idname = "scoresmith.retexture"
    bl_label = "Retexture the selected mesh"
    bl_description = "Give the selected mesh new colours; the mesh itself stays as it is, hidden"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A mesh must be selected."""
        chosen = context.active_object
        return super().poll(context) and chosen is not None and chosen.type == "MESH"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Hand the mesh over, and begin a run."""
        chosen = context.active_object
        path = exported(chosen, Path(tempfile.mkdtemp(prefix="scoresmith-")) / "mesh.glb")
        answer = self.begin(context, [f"--init={path}", "--retexture"], f"{chosen.name} retextured", (0.0, 0.0, 0.0))
        if answer == {"FINISHED"}:
            chosen.hide_set(True)
        return answer


class Stop(bpy.types.Operator):
    """A button."""

    bl_idname = "scoresmith.stop"
    bl_label = "Stop"
    bl_description = "End the run; what it has made so far stays"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """End the process."""
        del context
        if Running.making is not None:
            Running.making.stop()
        return {"FINISHED"}


class ScoresmithPanel(bpy.types.Panel):
    """The tab in the sidebar."""

    bl_idname = "SCORESMITH_PT_panel"
    bl_label, bl_category = "Scoresmith", "Scoresmith"
    bl_space_type, bl_region_type = "VIEW_3D", "UI"

    def draw(self, context: bpy.types.Context) -> None:
        """Settings and buttons; while a run goes on, how far it is."""
        layout, making = self.layout, Running.making
        for name in ("prompt", "seed", "method", "preset", "options"):
            layout.prop(context.scene.scoresmith, name)
        if making is None:
            layout.operator("scoresmith.generate", icon="MESH_MONKEY")
            layout.operator("scoresmith.retexture", icon="BRUSH_DATA")
        else:
            layout.progress(factor=making.progress, text=making.sentence)
            layout.operator("scoresmith.stop", icon="CANCEL")
        if Running.last:
            layout.label(text=Running.last)


def tick() -> float | None:
    """Look at the run, and show what is new; returns when to look again, None when it is over. Blender's timer."""
    making = Running.making
    if making is None:
        return None
    newest = making.mesh or making.surface
    if newest is not None and newest != Running.shown:
        Running.object = show(newest, Running.object, Running.name, Running.location)
        Running.shown = newest
    if making.is_over:
        Running.last = making.error or ("Finished" if making.mesh else "Stopped")
        Running.making = None
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            area.tag_redraw()
    return None if Running.making is None else LOOKED_EVERY


def command() -> str:
    """How scoresmith is run."""
    addon = bpy.context.preferences.addons.get(__package__)
    return str(addon.preferences.command) if addon else default_command()


def folder_for(prompt: str) -> Path:
    """A folder for a run, which is not there yet."""
    addon = bpy.context.preferences.addons.get(__package__)
    chosen = addon.preferences.folder if addon else ""
    root = Path(bpy.path.abspath(chosen)) if chosen else Path(bpy.app.tempdir) / "scoresmith"
    name = "-".join(re.findall(r"\w+", prompt.casefold()))[:40] or "prompt"
    root.mkdir(parents=True, exist_ok=True)
    return root / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


CLASSES = (
    ScoresmithPreferences,
    ScoresmithSettings,
    Generate,
    Retexture,
    Stop,
    ScoresmithPanel,
)


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.scoresmith = bpy.props.PointerProperty(type=ScoresmithSettings)


def unregister() -> None:
    """Called by Blender when it is disabled."""
    if Running.making is not None:
        Running.making.stop()
    del bpy.types.Scene.scoresmith
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
