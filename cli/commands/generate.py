"""`scoresmith generate`: a prompt becomes a mesh."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli import numbers
from cli.commands.generate_options import (
    add_batch_options,
    add_beginning_options,
    add_cluster_options,
    add_run_options,
    add_score_options,
    add_shape_options,
)
from cli.commands.generate_requests import folders_of, requests_of
from cli.configuration import add_config_option
from cli.files import require_there
from cli.guidance import add_guidance_options
from cli.output import LOG, add_json_option, tell, timed
from cli.teacher_options import add_teacher_options

if TYPE_CHECKING:  # loads torch
    from cli.scenes.batch import Job, Outcome
    from cli.scenes.live import LiveView

SUMMARY = "a prompt becomes a mesh"
DESCRIPTION = """Turns a prompt into a 3D object: a radiance field is optimised until a diffusion teacher likes it
from every side, its surface is refined as a textured mesh by the same teacher, and the mesh is written.

The folder then holds mesh.glb (opens in Blender, game engines, browsers), report.html (the object to turn and all
about the run, in one file), turntable.mp4 and .gif, preview.png (what was made above what the teacher would draw),
curves.csv, run.json, metrics.json and a checkpoint."""
EXAMPLES = """examples:
  scoresmith generate "a red armchair" --out outputs/armchair
  scoresmith generate "a teddy bear" "a blue car" --out outputs      one folder for each prompt
  scoresmith generate --prompts-file prompts.txt --out outputs       one prompt a line, the teacher loaded once
  scoresmith generate --prompts-file prompts.txt --workers 8 --out outputs     the same again completes it
  scoresmith generate --prompts-file prompts.txt --cluster auto --results s3://bucket/chairs    on a Ray cluster
  scoresmith generate --resume outputs/armchair                      continues an interrupted run exactly
  scoresmith generate "a cactus" --live --out outputs/cactus         watch it form in a browser
  scoresmith generate "a cactus" --method vsd --preset quality --out outputs/cactus
  scoresmith generate "a tall wooden chair" --tries 3 --out outputs/chair    up to three seeds, the best is kept
  scoresmith generate "a cactus" --representation svg --shapes 64 --out outputs/drawing    a vector picture
  scoresmith generate "a red chair" --method vsd --particles 3 --out outputs/chairs       three that differ
  scoresmith generate --scene scene.toml --out outputs/room                             several objects in one scene
  scoresmith generate "a blue armchair" --from outputs/armchair --out outputs/blue        changes what was made
  scoresmith generate "a rusty robot" --init robot.glb --retexture   new colours for a mesh of yours
  scoresmith generate --config outputs/armchair/run.toml --seed 2 --out outputs/other   the same again, but for the seed
  scoresmith generate "a corgi" --teacher /models/my-diffusers-folder --out outputs/corgi"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to make")
    parser.add_argument(
        "--prompts-file", type=Path, metavar="FILE", help="more prompts, one a line; # begins a comment"
    )
    parser.add_argument(
        "--scene",
        type=Path,
        metavar="FILE",
        help="several objects in their places, in a TOML file (see cli/scenes/composition.py)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: outputs/<the prompt>)")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="continue the run in DIR from its last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that --out holds")
    add_batch_options(parser)
    add_config_option(parser)
    add_json_option(parser)
    parser.set_defaults(check=require_words)
    add_cluster_options(parser)
    how = parser.add_argument_group("how")
    add_score_options(how)
    add_shape_options(how)
    add_beginning_options(how)
    add_run_options(how)
    add_teacher_options(parser)
    add_guidance_options(how)


def require_words(options: argparse.Namespace) -> None:
    """Raises UserError for options that make no sense together, before anything heavy is loaded."""
    from cli.errors import UserError

    if options.resume is not None:
        if options.prompts or options.prompts_file or options.out:
            raise UserError("--resume continues the run in its folder as it was begun: give no prompt and no --out")
    elif not options.prompts and all(one is None for one in (options.prompts_file, options.image, options.scene)):
        raise UserError('give a prompt: scoresmith generate "a red armchair"')
    for prompt in options.prompts:
        numbers.checked_prompt(prompt)
    require_there(
        {
            "--prompts-file": options.prompts_file,
            "--scene": options.scene,
            "--init": options.init,
            "--from": options.begun_from,
            "--image": options.image,
            "--image-mask": options.image_mask,
        }
    )
    if options.cluster is None and (options.results is not None or options.manifest != "jsonl"):
        raise UserError("--results and --manifest are for a cluster: say which with --cluster")
    if options.cluster is not None and (given := for_one_machine(options)):
        raise UserError(f"{', '.join(given)}: for one machine, which has the files; leave it out with --cluster")


def for_one_machine(options: argparse.Namespace) -> list[str]:
    """The options among those given that name files of this machine, or need it itself."""
    given = {"--live": options.live, "--workers": options.workers > 1, "--tries": (options.tries or 1) > 1}
    given |= {"--resume": options.resume, "--init": options.init, "--image": options.image, "--scene": options.scene}
    given |= {"--from": options.begun_from, "--dry-run": options.dry_run}
    return [name for name, value in given.items() if value not in (None, False)]


def run(options: argparse.Namespace) -> int:
    """Generate everything that was asked for; returns the exit code."""
    from cli.scenes.batch import Job, entry, is_finished, write_manifest
    from cli.scenes.generation import resume
    from cli.scenes.run_folder import RunFolder, read_json
    from cli.scenes.tries import verdict_line
    from cli.teachers import choose_device

    if options.resume is not None:
        resumed = RunFolder(options.resume)
        with watched(options.live) as live:
            resume(resumed, choose_device(options.device), live)
        if recognition := read_json(resumed.metrics).get("recognition"):
            LOG.info("%s", verdict_line(recognition))
        tell(options, {"runs": [entry(Job(resumed.read_request(), resumed.path))]})
        return 0

    if options.scene is not None:
        return run_scene(options)
    if options.dry_run:
        from cli.scenes.dry_run import planned

        print("\n\n".join(planned(request) for request in requests_of(options)))
        return 0
    if options.cluster is not None:
        return run_on_cluster(options)
    jobs = jobs_of(options)
    left = jobs if options.overwrite else [job for job in jobs if not is_finished(job)]
    if len(jobs) > 1 and len(left) < len(jobs):
        LOG.info("%d of %d are finished already", len(jobs) - len(left), len(jobs))
    outcomes = make_all(options, left)
    if len(jobs) > 1:
        print(write_manifest(options.out or Path("outputs"), jobs, outcomes))
    tell_failures(outcomes, len(jobs))
    errors = {outcome.folder: outcome.error for outcome in outcomes if outcome.error}
    tell(options, {"runs": [entry(job, error=errors.get(job.path, "")) for job in jobs]})
    return 2 if errors else 0


def tell_failures(outcomes: Sequence[Outcome], count: int) -> None:
    """Say which of ``count`` objects failed, and why."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed if count > 1 else ():
        LOG.error("'%s': %s", outcome.prompt, outcome.error)
    if failed and count > 1:
        LOG.error("%d of %d failed; the same command tries them again", len(failed), count)


def run_on_cluster(options: argparse.Namespace) -> int:
    """Generate what is not among the results yet, on a cluster; returns the exit code."""
    from cli.scenes.batch import Job, described
    from cli.scenes.cluster import make_on_cluster
    from cli.scenes.store import Store
    from cli.scenes.workers import Workplace

    requests = requests_of(options)
    folders = folders_of(requests, options.out, alone=False)  # one for each, even for a single one
    jobs = [Job(request, folder.path) for request, folder in zip(requests, folders, strict=True)]
    store = Store(options.results or str(options.out or "outputs"))
    done = set() if options.overwrite else store.finished(jobs)
    if done:
        LOG.info("%d of %d are finished already", len(done), len(jobs))
    device = "cuda" if options.device == "cuda" else "cpu"  # what this machine has says nothing of the others
    workplace = Workplace(options.teacher, device, False, requests[0].teacher_options)
    left = [job for job in jobs if job.path.name not in done]
    outcomes = make_on_cluster(left, workplace, options.cluster, store, options.anyway) if left else []
    errors = {outcome.folder.name: outcome.error for outcome in outcomes if outcome.error}
    print(store.write_manifest(jobs, errors, as_table=options.manifest == "parquet"))
    tell_failures(outcomes, len(jobs))
    tell(options, {"runs": [described(job, job.path.name, errors.get(job.path.name, ""), {}) for job in jobs]})
    return 2 if errors else 0


def run_scene(options: argparse.Namespace) -> int:
    """Make a scene of several objects; returns the exit code."""
    from cli.errors import UserError
    from cli.scenes.composition import compose, read_composition, require_place
    from cli.scenes.run_folder import folder_name
    from cli.teachers import choose_device, load_teacher

    others = (options.prompts, options.prompts_file, options.init, options.image, options.begun_from)
    if any(others) or options.particles > 1:
        raise UserError("--scene says what is made: give no prompt, --init, --image, --from or --particles beside it")
    composition = read_composition(options.scene)
    options.prompts = [composition.prompt]
    wishes = requests_of(options)[0]
    if not wishes.has_mesh:
        raise UserError("--scene makes objects with surfaces: nerf, mesh or nerf,mesh")
    out = options.out or Path("outputs") / folder_name(composition.prompt)
    require_place(out)
    device = choose_device(options.device)
    teacher = load_teacher(wishes.teacher, device, options=wishes.teacher_options)
    for path in compose(composition, wishes, out, teacher, device):
        print(path)
    return 0


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Everything that is to be made. Raises UserError, before anything is loaded, if it cannot be begun."""
    from cli.errors import UserError
    from cli.scenes.batch import Job, is_begun

    requests = requests_of(options)
    folders = folders_of(requests, options.out)
    tries = options.tries or usual_tries(options)
    jobs = [Job(request, folder.path, tries) for request, folder in zip(requests, folders, strict=True)]
    if tries > 1 and options.workers > 1:
        raise UserError("--tries judges one object after the other; leave --workers out")
    if options.live and options.workers > 1:
        raise UserError("--live shows one object at a time; leave --workers out")
    for job in jobs:
        if len(jobs) == 1 or options.overwrite:
            job.folder.require_free(options.overwrite)
        else:
            is_begun(job)
    return jobs


def usual_tries(options: argparse.Namespace) -> int:
    """How many seeds may be tried where nobody said: one more where it costs a minute and no seed was asked for."""
    is_free = options.seed is None and not options.steps and options.teacher == "embedded"
    return 2 if is_free and options.workers == 1 and not options.live else 1


def make_all(options: argparse.Namespace, jobs: list[Job]) -> list[Outcome]:
    """Make what is left, in this process or in several; returns what became of each."""
    from cli.errors import UserError
    from cli.scenes.batch import make, make_one_after_the_other
    from cli.scenes.told import release_text_encoders
    from cli.scenes.tries import best_of
    from cli.scenes.understanding import refused_among
    from cli.scenes.workers import Workplace, make_with_workers
    from cli.teachers import choose_device, load_teacher

    if not jobs:
        return []
    device = choose_device(options.device)
    with timed("loading the teacher"):
        teacher = load_teacher(jobs[0].request.teacher, device, options=jobs[0].request.teacher_options)
    if options.perp_neg and (teacher.knows_views or jobs[0].request.is_flat):
        raise UserError("--perp-neg is for 3D objects and teachers that are told views in words; leave it out here")
    outcomes, jobs = refused_among(jobs, teacher, options.anyway)
    if not jobs:
        return outcomes
    if options.workers > 1:
        del teacher  # each process has its own
        workplace = Workplace(jobs[0].request.teacher, device.type, options.overwrite, jobs[0].request.teacher_options)
        return [*outcomes, *make_with_workers(jobs, workplace, options.workers)]
    release_text_encoders(teacher, [job.request for job in jobs])
    with watched(options.live) as live:

        def make_best(job: Job) -> None:
            best_of(job, lambda one: make(one, teacher, device, options.overwrite or one.path != job.path, live))

        if len(jobs) == 1 and not outcomes:
            make_best(jobs[0])
            return []
        told = make_one_after_the_other(jobs, make_best, lambda line: LOG.error("%s", line))
        return [*outcomes, *told]


@contextmanager
def watched(live: bool) -> Iterator[LiveView | None]:
    """A page that shows what is made in the block, with its address printed; None if it is not wanted."""
    if not live:
        yield None
        return
    from cli.scenes.live import LiveView

    with LiveView() as view:
        LOG.info("watch it at %s", view.address)
        yield view
