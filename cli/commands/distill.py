"""`scoresmith distill`: a teacher becomes a one- or few-step generator."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from cli import numbers
from cli.commands.distill_options import METHODS, add_computing, add_lessons, add_method, add_student, add_training
from cli.files import require_there
from cli.output import add_json_option, tell
from cli.teacher_options import add_teacher_options, teacher_options_of
from sds.teachers.options import AS_IT_IS

SUMMARY = "a diffusion teacher becomes a one-step generator"
DESCRIPTION = """Trains a student that draws in one step (or a few) what its teacher draws in fifty.

The folder then is an ordinary diffusers folder: `scoresmith sample` draws from it, and so does every program that
loads the teacher. training/ inside it holds the log (log.jsonl), sheets of samples, the teacher's pairs, run.json and a
checkpoint."""

METHODS_HELP = "\n".join(["methods:", *(f"  {name:22}{line}" for name, line in METHODS.items())])
EXAMPLES = f"""{METHODS_HELP}

examples:
  scoresmith distill --out outputs/student --prompt "a red chair" --prompt "a blue mug" --steps 500
  scoresmith distill --out outputs/student --method consistency --student-steps 2
  scoresmith distill --resume outputs/student                     continues an interrupted run exactly
  scoresmith sample outputs/student "a blue mug" --count 16 --grid
  ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m scoresmith distill --processes 2 --out outputs/student
                                                                  two processes share each batch"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="continue the run in DIR from its last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the student that --out holds")
    how, training = parser.add_argument_group("how"), parser.add_argument_group("training")
    add_method(how)
    add_student(how)
    add_lessons(how)
    add_training(training)
    add_computing(training)
    add_teacher_options(parser, may_wait=False)
    add_json_option(parser)
    parser.set_defaults(check=require_words)


def require_words(options: argparse.Namespace) -> None:
    """Raises UserError for options that make no sense together, before anything heavy is loaded."""
    from cli.errors import UserError

    if options.resume is not None:
        if options.out or options.prompt or options.prompts_file or teacher_options_of(options) != AS_IT_IS:
            raise UserError(
                "--resume continues the run in its folder as it was begun: give no prompt, no --out and no change of "
                "the teacher"
            )
    elif options.out is None:
        raise UserError("say where to write the student: --out DIR")
    require_there({"--prompts-file": options.prompts_file})


def run(options: argparse.Namespace) -> int:
    """Train the student that was asked for; returns the exit code."""
    from cli.commands.generate_requests import prompts_of
    from cli.trainings.distillation import distill, resume
    from cli.trainings.processes import joined_processes
    from cli.trainings.student_folder import DistillRequest, StudentFolder
    from sds.processes import is_first_process

    if options.resume is not None:
        with joined_processes(options.device, options.processes) as device:
            resume(StudentFolder(options.resume), device)
            if is_first_process():
                tell(options, {"student": options.resume})
        return 0
    from students.recipes.catalogue import usual_steps

    if options.student_steps is None:
        options.student_steps = usual_steps(options.method)
    request = DistillRequest(
        teacher=options.teacher,
        prompts=[numbers.checked_prompt(prompt) for prompt in (*options.prompt, *prompts_of(options.prompts_file))],
        method=options.method,
        steps=options.steps,
        student_steps=options.student_steps,
        start=options.start,
        guidance_scale=options.guidance_scale or 0.0,
        path_steps=options.path_steps,
        critic_steps=options.critic_steps,
        pairs=options.pairs,
        images="" if options.images is None else str(options.images),
        features=options.features,
        distance=options.distance,
        bfloat16=options.bfloat16,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        guidance_interval=options.guidance_interval,
        guidance_parallel=options.guidance_parallel,
        guidance_rescale=options.guidance_rescale,
        lora=options.lora,
        look_every=options.look_every,
        look_images=options.look_images,
        track=options.track,
        shard=options.shard,
        checkpointing=options.checkpointing,
        micro_batch=options.micro_batch,
        teacher_options=teacher_options_of(options),
    )
    with joined_processes(options.device, options.processes) as device:
        distill(request, StudentFolder(options.out), device, overwrite=options.overwrite)
        if is_first_process():
            tell(options, {"student": options.out, "request": asdict(request)})
    return 0
