"""`scoresmith doctor`: what is in use here, and why."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cli.output import add_json_option, tell

SUMMARY = "which device and back ends are in use, and why"
DESCRIPTION = """Says which device, back ends and teacher are in use and why, and whether there is room on the disk.
Ends with exit code 2 if something that is needed is missing."""
EXAMPLES = """examples:
  scoresmith doctor
  scoresmith doctor --words      the nouns and colours that the embedded teacher knows"""

PACKAGES = ("torch", "diffusers", "transformers", "numba", "scikit-image", "trimesh", "imageio-ffmpeg")


OPTIONAL = {
    "xatlas": "textures; without it meshes have colours at their vertices",
    "usd-core": "export to USDZ; pip install usd-core",
    "warp-lang": "kernels for NVIDIA cards; pip install warp-lang",
    "onnxruntime": "teachers of ONNX files; pip install onnxruntime",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--words", action="store_true", help="list the words that the embedded teacher knows")
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    """Report; returns the exit code."""
    lines, missing = report()
    words = words_known() if options.words else {}
    print("\n".join(lines))
    for noun, names in words.items():
        print("knows        " + ", ".join([noun, *(name for name in names if name != noun)]))
    facts = [dict(zip(("about", "fact"), line.split(maxsplit=1), strict=True)) for line in lines]
    tell(options, {"complete": not missing, "facts": facts} | ({"words": words} if options.words else {}))
    return 2 if missing else 0


def report() -> tuple[list[str], bool]:
    """Lines about everything, and whether anything that is needed is missing."""
    lines, missing = (
        [f"scoresmith   {installed('scoresmith') or 'not installed'}, Python {platform.python_version()}"],
        False,
    )
    for name in PACKAGES:
        found = installed(name)
        missing |= found is None
        lines.append(f"package      {name} {found or 'MISSING: pip install ' + name}")
    lines += [f"optional     {name} {installed(name) or 'not installed'} ({use})" for name, use in OPTIONAL.items()]
    lines += device_lines()
    lines.append(kernel_line())
    lines.append(f"disk         {shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GB free in {Path.cwd()}")
    teacher, broken = teacher_line()
    return [*lines, teacher], missing or broken


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device_lines() -> list[str]:
    """The device, the threads, and the back end of each hot kernel."""
    import torch

    told = next((n for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(n)), None)
    why = f"{told} says so" if told else "one a core, less busy ones if they would have to spin"
    lines = [f"threads      {torch.get_num_threads()} of {os.cpu_count()} cores ({why})"]
    if not torch.cuda.is_available():
        reason = (
            "this torch was built without CUDA" if torch.version.cuda is None else "no NVIDIA card or driver is found"
        )
        lines.append(f"device       cpu: {reason}")
        lines.append("back ends    compiled kernels (numba) for volume rendering and hash grids; torch for the rest")
        return lines + accelerator_lines()
    lines.append(f"device       cuda: {torch.cuda.get_device_name(0)} (unverified: built without a card at hand)")
    lines.append("back ends    plain torch, with these accelerators where they work:")
    return lines + accelerator_lines()


def accelerator_lines() -> list[str]:
    """Each optional package for cards, tried on a few points."""
    from representations.fields.encodings import TINYCUDANN, WARP_HASHING
    from representations.fields.packed import NERFACC, WARP_PACKING
    from representations.fields.volume import WARP_MARCHING
    from representations.gaussians.splatting import GSPLAT
    from representations.surfaces.differentiable_rasterizer import NVDIFFRAST, WARP_RASTERIZER
    from representations.surfaces.dual_marching_cubes import WARP_ISOSURFACE

    return [
        f"accelerator  {one.package}: {'in use' if one.problem is None else f'not in use, {one.problem}'} ({one.use})"
        for one in (
            *(WARP_MARCHING, WARP_HASHING, WARP_PACKING, WARP_RASTERIZER, WARP_ISOSURFACE),
            *(NERFACC, TINYCUDANN, NVDIFFRAST, GSPLAT),
        )
    ]


def kernel_line() -> str:
    """Whether the compiled kernels compile, and where they are kept."""
    import numpy as np

    from representations.compilation import kernel_folder
    from representations.geometry import rasterizer

    triangle = np.array([[-1, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]], np.float32)
    rasterizer.rasterize(triangle, np.array([[0, 1, 2]], np.int32), 2, 2)
    folder = kernel_folder(rasterizer.KERNEL)
    if folder is None or not os.access(folder, os.W_OK):
        return "kernels      compile, anew for each process: no folder that can be written keeps them (NUMBA_CACHE_DIR)"
    return f"kernels      compile, and are kept in {folder}"


def teacher_line() -> tuple[str, bool]:
    """The embedded teacher, loaded for real, and whether it is broken."""
    from cli.teachers import EMBEDDED, choose_device, load_teacher
    from sds.teachers.folder import TeacherFolderError

    try:
        teacher = load_teacher(EMBEDDED, choose_device("cpu"))
    except TeacherFolderError as error:
        return f"teacher      embedded: BROKEN: {error}", True
    parameters = sum(p.numel() for p in teacher.network.parameters())
    return f"teacher      embedded: {teacher.shape[-1]} px, UNet of {parameters / 1e6:.1f} million parameters", False


def words_known() -> dict[str, list[str]]:
    """The embedded teacher's nouns with their synonyms."""
    from sds.recognition import Recogniser

    return {noun: list(names) for noun, names in Recogniser.load().config["names"].items()}
