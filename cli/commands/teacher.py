"""`scoresmith teacher`: a teacher behind a port."""

from __future__ import annotations

import argparse

from cli import numbers
from cli.teacher_options import add_teacher_options, teacher_options_of

SUMMARY = "let a big teacher answer at a port, for runs here or on a laptop"
DESCRIPTION = """Loads a teacher once and answers questions at a port: several runs share it, and a laptop can sculpt
against a card elsewhere. What waits at the same time is asked in one call. Only this machine is listened to: reach it
from another one through a tunnel (ssh -L 8290:127.0.0.1:8290 the-machine); --host opens it to a whole network.

Methods that train a copy of the teacher (vsd, all of distill) need it where they run; sds, nfsd and csd do not."""
EXAMPLES = """examples:
  scoresmith teacher /models/stable-diffusion
  scoresmith generate "a corgi" --teacher http://127.0.0.1:8290 --out outputs/corgi"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("teacher", metavar="FOLDER", help="a folder of diffusers or ONNX files, or ORG/NAME on the hub")
    parser.add_argument(
        "--port", type=numbers.whole(0, 65535), default=8290, metavar="N", help="default: 8290; 0 takes any free one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: this machine alone)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one"
    )
    add_teacher_options(parser)


def run(options: argparse.Namespace) -> int:
    """Answer until Ctrl-C; returns the exit code."""
    from cli.errors import UserError
    from cli.teachers import choose_device, load_teacher, require_one_picture_from_words, small_teacher_folder
    from sds.teachers.remote.client import RemoteTeacher
    from sds.teachers.remote.server import TeacherServer

    if not 0 <= options.port < 2**16:
        raise UserError(f"--port must lie between 0 and 65535, not {options.port}")
    if small_teacher_folder(options.teacher) is not None:
        raise UserError("a small teacher runs anywhere by itself: serve a big one")
    device = choose_device(options.device)
    teacher = load_teacher(options.teacher, device, options=teacher_options_of(options))
    require_one_picture_from_words(teacher, "a port")
    if isinstance(teacher, RemoteTeacher):
        raise UserError(f"{options.teacher} is a teacher behind a port already")
    with TeacherServer(teacher, device, options.host, options.port) as server:
        print(f"{server.address}  (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
