"""The toolkit in a few calls: what the command does, for programs.

    from scoresmith import text_to_3d

    asset = text_to_3d("a red armchair", seed=1)
    asset.save("chair.glb")

Everything below is made of the rooms `sds`, `representations` and `students`, which give full control: the loop of
`text_to_3d` written out is `examples/text_to_3d.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor

from cli.errors import UserError
from cli.last_teacher import last_teacher
from cli.pictures import sheet, to_bytes
from cli.scenes.initial_mesh import placement_in
from cli.scenes.judging import ELEVATION, Judge, asset_statistics, judge_asset, judge_for
from cli.scenes.loading import load_object
from cli.scenes.making import Making, Moment
from cli.scenes.progress import ProgressBar
from cli.scenes.request import Request
from cli.scenes.results import delivered, finished, labels
from cli.scenes.run_folder import RunFolder
from cli.scenes.stages import COARSE_TO_FINE
from cli.scenes.told import release_text_encoders
from cli.teachers import EMBEDDED, choose_device, load_teacher, small_teacher_folder
from representations.assets.asset import Asset
from representations.assets.finishing import RESOLUTION, prepared
from representations.assets.pictures import render_asset
from representations.assets.studio import render_in_studio
from representations.assets.writing import Convention, write_asset
from representations.cameras import turntable
from representations.geometry.mesh import Mesh
from representations.solid import Solid
from sds.denoiser import NeuralTeacher

WITHOUT_TEXTURE = (".ply", ".stl")
"""Formats that can hold no image."""

OnStep = Callable[[Moment], None]
"""Is called after each step of a run, and may look at everything; what it raises ends the run."""


@dataclass(frozen=True)
class GeneratedObject:
    """What a prompt has become.

    Attributes:
        request: what was asked for; with the versions of the software it determines the object.
        solid: the representation that was optimised: a `NeRF` or a `MeshField`, in the unit sphere.
        teacher: loads who judged it, which takes its time if it is a big one.
        judge: knows the object by name, if anybody does.
    """

    request: Request
    solid: Solid
    teacher: Callable[[], NeuralTeacher]
    judge: Judge | None

    @cached_property
    def asset(self) -> Asset:
        """The textured mesh in metres: it stands on the origin, +Y up, front towards +Z."""
        return delivered(self._in_unit_sphere, self.request, self.judge)

    def save(
        self,
        path: str | PathLike[str],
        faces: int | None = None,
        texture: int | None = None,
        convention: Convention | None = None,
    ) -> list[Path]:
        """Write it as .glb, .obj, .ply, .stl or .usdz, checked; returns the files, the one that was named first.

        Args:
            path: of the file, whose folder exists.
            faces: triangles, about; None chooses.
            texture: texels along one side of the maps; 0 for colours at the vertices; None chooses.
            convention: units and axis; None: what readers of the format assume.

        Raises as `representations.assets.writing.write_asset`.
        """
        path = Path(path)
        texture = texture_for(path, texture)
        asset = self.asset if faces is None and texture is None else self.mended(faces, texture)[0]
        return write_asset(asset, path, convention)

    def mended(
        self, faces: int | None = None, texture: int | None = None, watertight: bool = False, quads: bool = False
    ) -> tuple[Asset, list[str]]:
        """The asset as it is wanted, and what was done to it, in words.

        See `representations.assets.finishing.prepared`, which says what is raised.
        """
        if quads:  # from the surface with all its details, which a new texture then shows
            detailed = delivered(finished(self.solid, resolution=0), self.request, self.judge)
            asset, notes = prepared(detailed, faces, RESOLUTION if texture is None else texture, watertight, quads=True)
            asset = replace(asset, mesh=on_base_of(asset.mesh, detailed.mesh))
        else:
            usual = delivered(finished(self.solid, faces, texture), self.request, self.judge)
            asset, notes = prepared(usual, watertight=watertight)
        return replace(asset, **labels(self.request)), notes

    def pictures(self, count: int = 8, size: int = 192) -> Tensor:
        """(count, 3, size, size) in [0, 1]: the textured mesh from all round, over white, in the light of a studio.

        Where the teacher draws lit pictures only, the texture holds their light already, and no other is added.
        """
        render = render_asset if small_teacher_folder(self.request.teacher) is None else render_in_studio
        return render(self._in_unit_sphere, turntable(count, ELEVATION, size))

    def metrics(self) -> dict[str, Any]:
        """What `scoresmith evaluate` measures: of the mesh, and recognition and Janus score if that can be."""
        measured = judge_asset(self._in_unit_sphere, self.request, self.teacher(), self.judge)
        return measured | {"mesh": asset_statistics(self.asset)}

    @cached_property
    def _in_unit_sphere(self) -> Asset:
        return finished(self.solid)

    def _repr_png_(self) -> bytes:
        """Four views, for notebooks."""
        return imageio.imwrite("<bytes>", to_bytes(sheet([self.pictures(4)], 192)), extension=".png")


def text_to_3d(
    prompt: str,
    *,
    seed: int = 0,
    method: str = "sds",
    preset: str = "fast",
    steps: int = 0,
    guidance_scale: float | None = None,
    negative: str = "",
    stages: tuple[str, ...] | None = None,
    encoding: str = "grid",
    init: str | PathLike[str] | None = None,
    retexture: bool = False,
    teacher: str | PathLike[str] = EMBEDDED,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> GeneratedObject:
    """A prompt becomes a textured mesh, in about a minute on two cores. Nothing is written; see `GeneratedObject.save`.

    Args:
        prompt: what to make.
        seed: another seed is another object.
        method: a key of `sds.baselines.METHODS`: "sds", "nfsd", "vsd" or "csd".
        preset: "fast", or "quality" for about six times the work.
        steps: of each stage; 0 stands for the preset's.
        guidance_scale: how strongly to follow the prompt; None stands for the method's.
        negative: what to move away from.
        stages: ("nerf", "mesh") by default, or only one of them.
        encoding: of fields and textures, "grid" or "hash".
        init: a mesh file to begin with, which the prompt refines.
        retexture: whether that mesh keeps its shape and is only given new colours.
        teacher: "embedded", a diffusers folder, or ORG/NAME on the hub, which is downloaded.
        device: "cpu", "cuda", or "auto": a card if there is one.
        on_step: looks at the run after each step; a bar on standard error by default.

    Raises:
        ValueError: for what cannot be made (`cli.errors.UserError`, and of the teacher's folder).
    """
    request = Request(
        prompt=prompt,
        negative=negative,
        method=method,
        stages=stages or (COARSE_TO_FINE if init is None else ("mesh",)),
        encoding=encoding,
        init="" if init is None else str(Path(init).resolve()),
        retexture=retexture,
        placement=None if init is None else placement_in(Path(init), retexture),
        teacher=str(teacher),
        preset=preset,
        steps=steps,
        guidance_scale=guidance_scale,
        seed=seed,
    )
    if not request.has_mesh:
        raise UserError("text_to_3d makes meshes; examples/fourier_image.py draws a flat picture")
    place = choose_device(device)
    making, look = Making(request, teacher_for(request, place), place), on_step or ProgressBar()
    for moment in making:
        look(moment)
    return GeneratedObject(request, making.scene.shown, lambda: making.scene.teacher, making.judge)


def open_run(folder: str | PathLike[str], device: str = "cpu") -> GeneratedObject:
    """The object that a run has made, or as far as it got; ``folder`` is what `scoresmith generate` wrote.

    Raises UserError if the folder holds no run, or one that made no 3D object.
    """
    loaded = load_object(RunFolder(Path(folder)), choose_device(device))
    return GeneratedObject(loaded.request, loaded.solid, loaded.teacher, judge_for(loaded.request))


def on_base_of(mesh: Mesh, other: Mesh) -> Mesh:
    """The mesh as low as another one: what is built anew rounds off the edges that an object stands on."""
    lift = np.array([0.0, other.vertices[:, 1].min() - mesh.vertices[:, 1].min(), 0.0])
    return replace(mesh, vertices=mesh.vertices + lift)


def texture_for(path: Path, texture: int | None) -> int | None:
    """The texels that were asked for; 0 if nobody asked and the format holds no image."""
    return 0 if texture is None and path.suffix.lower() in WITHOUT_TEXTURE else texture


def teacher_for(request: Request, device: torch.device) -> NeuralTeacher:
    """The teacher of a run. Small ones stay in memory for the next; of big ones the text encoders are let go."""
    if small_teacher_folder(request.teacher) is not None:
        return last_teacher(request.teacher, device)
    teacher = load_teacher(request.teacher, device, options=request.teacher_options)
    release_text_encoders(teacher, [request])
    return teacher
