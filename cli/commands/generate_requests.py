"""What the options of `scoresmith generate` ask for: requests, and the folders of their runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import numbers

if TYPE_CHECKING:  # loads torch
    from cli.scenes.request import Request
    from cli.scenes.run_folder import RunFolder


def requests_of(options: argparse.Namespace) -> list[Request]:
    """What the options ask for, one request a prompt. Raises UserError if they cannot be met."""
    from cli.errors import UserError
    from cli.scenes.initial_mesh import placement_of, require_inside
    from cli.scenes.request import Request
    from representations.assets.reading import load_mesh

    prompts = [numbers.checked_prompt(prompt) for prompt in (*options.prompts, *prompts_of(options.prompts_file))]
    if options.image is not None and not prompts:
        prompts = [numbers.checked_prompt(options.image.stem)]
    stages = stages_asked_for(options)
    if options.offload and options.method == "vsd":
        raise UserError("--method vsd trains a copy of the teacher, whose weights cannot wait in memory: no --offload")
    if options.image is not None:
        require_photo(options, stages)
    initial = load_mesh(options.init) if options.init is not None else None
    if initial is not None and not options.retexture:
        require_inside(initial, options.init)
    kept = kept_of_original(options)
    wishes: dict[str, Any] = {
        "negative": options.negative,
        "perp_neg": options.perp_neg,
        "method": options.method,
        "stages": stages,
        "encoding": options.encoding,
        "image": str(options.image.resolve()) if options.image else "",
        "image_mask": str(options.image_mask.resolve()) if options.image_mask else "",
        "image_elevation": options.image_elevation,
        "init": str(options.init.resolve()) if options.init else "",
        "retexture": options.retexture,
        "placement": placement_of(initial) if initial is not None else None,
        "teacher": options.teacher,
        "preset": options.preset,
        "steps": options.steps or 0,
        "guidance_scale": options.guidance_scale,
        "weighting": options.weighting or "",
        "teacher_config": options.teacher_config,
        "teacher_lora": tuple(options.teacher_lora),
        "teacher_word": tuple(options.teacher_word),
        "tiny_autoencoder": options.tiny_autoencoder,
        "compile": options.compile,
        "offload": options.offload,
        "times": options.times,
        "guidance_interval": options.guidance_interval,
        "guidance_parallel": options.guidance_parallel,
        "guidance_rescale": options.guidance_rescale,
        "shapes": options.shapes,
        "particles": options.particles,
        "critic_rate": options.critic_rate,
        "seed": options.seed or 0,
    }
    return [Request(prompt=prompt, **(wishes | kept)) for prompt in prompts]


def kept_of_original(options: argparse.Namespace) -> dict[str, Any]:
    """What requests have in common with the run that they change; nothing if there is none.

    Raises UserError if it cannot be changed, or the options ask for something else at once.
    """
    from cli.errors import UserError
    from cli.scenes.editing import kept_of

    if options.begun_from is None:
        return {}
    kept = kept_of(options.begun_from)
    other = options.stages not in (None, kept["stages"])
    if other or options.init or options.image or options.representation or options.retexture or options.particles > 1:
        raise UserError("--from changes what a run has made: leave out what says how another one would begin")
    return kept | {"begun_from": str(options.begun_from.resolve())}


def folders_of(requests: list[Request], out: Path | None, alone: bool = True) -> list[RunFolder]:
    """Where each request is written; that of a single one may be ``out`` itself if it may be ``alone``.

    Raises UserError if two would share a folder, or one holds its own --init."""
    from cli.errors import UserError
    from cli.scenes.run_folder import RunFolder, folder_name

    root = out or Path("outputs")
    alone = alone and len(requests) == 1 and out is not None
    folders = [RunFolder(root if alone else root / folder_name(request.prompt)) for request in requests]
    if len({folder.path for folder in folders}) < len(folders):
        raise UserError("two prompts would be written into one folder: they differ too little")
    for request, folder in zip(requests, folders, strict=True):
        if request.init and folder.path.resolve() in Path(request.init).parents:
            raise UserError(f"--init {request.init} lies in the folder that is to be written; choose another --out")
        if request.begun_from and folder.path.resolve() in (
            Path(request.begun_from),
            *Path(request.begun_from).parents,
        ):
            raise UserError(f"--from {request.begun_from} is what would be overwritten; choose another --out")
    return folders


def require_photo(options: argparse.Namespace, stages: tuple[str, ...]) -> None:
    """Raises UserError, before a teacher is loaded, for a picture that cannot be read or nobody here can be shown."""
    from cli.errors import UserError
    from cli.pictures import read_picture
    from cli.scenes.photo import FORMATS, NOT_SHOWN
    from cli.teachers import small_teacher_folder

    if stages[-1] == "pixels":
        raise UserError("--image is of a thing in space, which is no flat picture: no --representation pixels")
    if small_teacher_folder(options.teacher) is not None:
        raise UserError(NOT_SHOWN)
    for path in (options.image, options.image_mask):
        if path is not None:
            read_picture(path, FORMATS)


def stages_asked_for(options: argparse.Namespace) -> tuple[str, ...]:
    """What is to be optimised, one after the other. Raises UserError if the options contradict each other."""
    from cli.errors import UserError
    from cli.scenes.stages import COARSE_TO_FINE

    if options.stages and options.representation:
        raise UserError("--stages and --representation say the same in two ways: give one of them")
    if options.retexture and options.init is None:
        raise UserError("--retexture gives new colours to a mesh of yours: say which with --init FILE")
    chosen = options.stages or ((options.representation,) if options.representation else None)
    if chosen == ("gaussians",):
        return ("nerf", "gaussians") if options.init is None else ("mesh", "gaussians")
    if options.init is None:
        return chosen or COARSE_TO_FINE
    if chosen == ("mesh", "gaussians"):
        return chosen
    if chosen not in (None, ("mesh",)):
        raise UserError("--init begins with the mesh stage: leave --stages and --representation out")
    return ("mesh",)


def prompts_of(path: Path | None) -> list[str]:
    """The prompts of a file, one a line, without comments. Raises UserError if it cannot be read as text."""
    from cli.errors import UserError
    from cli.files import LARGEST_TEXT, read_ordinary

    if path is None:
        return []
    try:
        lines = [
            line.split("#")[0].strip() for line in read_ordinary(path, LARGEST_TEXT).decode("utf-8-sig").splitlines()
        ]
    except UnicodeDecodeError:
        raise UserError(f"--prompts-file {path} is no text (UTF-8)") from None
    except OSError as error:
        raise UserError(f"--prompts-file {path}: {error}") from None
    prompts = [line for line in lines if line]
    if not prompts:
        raise UserError(f"--prompts-file {path} holds no prompt")
    return prompts
