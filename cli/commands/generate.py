"""`scoresmith generate`: a prompt becomes a mesh."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import numbers
from cli.configuration import add_config_option
from cli.guidance import add_guidance_options
from cli.output import LOG, add_json_option, tell, timed
from cli.teacher_options import add_teacher_options

if TYPE_CHECKING:  # loads torch
    from cli.scenes.batch import Job, Outcome
    from cli.scenes.live import LiveView
    from cli.scenes.run_folder import RunFolder
    from cli.scenes.scene import Request

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
    parser.add_argument(
        "--workers",
        type=numbers.whole(1, 1024),
        default=1,
        metavar="N",
        help="processes that share many prompts, one thread each (default: 1). What is finished is skipped",
    )
    parser.add_argument(
        "--anyway", action="store_true", help="go on with a prompt that names nothing which the teacher knows"
    )
    parser.add_argument(
        "--tries",
        type=numbers.whole(1, 100),
        default=1,
        metavar="N",
        help="if the object is not recognised, try the next seed, N seeds at most, and keep the best (default: 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and whose settings it is")
    parser.add_argument("--live", action="store_true", help="show the object in a browser as it forms")
    add_config_option(parser)
    add_json_option(parser)
    parser.set_defaults(check=require_words)
    add_cluster_options(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--method",
        choices=("sds", "nfsd", "vsd", "csd", "sdi", "ism", "bridge"),
        default="sds",
        help="the score gradient: sds (default, the steadiest), nfsd (less noise), vsd (trains a critic), "
        "csd (guidance alone: colours run wild), sdi and ism (noise that DDIM finds in the picture), bridge (sds, then "
        "from a description of what there is to the prompt)",
    )
    how.add_argument(
        "--stages",
        type=checked_stages,
        metavar="LIST",
        help="nerf,mesh (default: from a radiance field to a mesh), or only nerf, or only mesh; the last two may be "
        "followed by gaussians, as may both",
    )
    how.add_argument(
        "--representation",
        choices=("nerf", "mesh", "gaussians", "pixels", "svg"),
        help="one stage alone: a field, a mesh, a flat image, or a vector picture; gaussians: 3D Gaussians, which "
        "begin as the field's surface",
    )
    how.add_argument(
        "--shapes",
        type=numbers.whole(1, numbers.MOST_SHAPES),
        default=64,
        metavar="N",
        help="of a vector picture (default: 64)",
    )
    how.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="a picture of an object, which is made, by a teacher that is told pictures (a Zero123); transparent "
        "around the object, or before one colour",
    )
    how.add_argument("--image-mask", type=Path, metavar="FILE", help="a picture that is white where the object is")
    how.add_argument(
        "--image-elevation",
        type=numbers.number(-90, 90),
        default=5.0,
        metavar="DEGREES",
        help="above the horizon from which the picture was taken (default: 5)",
    )
    how.add_argument(
        "--from",
        dest="begun_from",
        type=Path,
        metavar="DIR",
        help="a finished run to begin with: the prompt changes its object (stages and encoding are those of that run)",
    )
    how.add_argument("--init", type=Path, metavar="FILE", help="a mesh to begin with: the prompt refines it")
    how.add_argument("--retexture", action="store_true", help="leave the shape of --init alone, give it new colours")
    how.add_argument(
        "--encoding",
        choices=("grid", "hash"),
        default="grid",
        help="of fields and textures: voxels (default), or a hash grid",
    )
    how.add_argument(
        "--teacher",
        default="embedded",
        metavar="NAME",
        help="embedded (default), a diffusers folder, or ORG/NAME on the hub (only then is anything downloaded)",
    )
    add_teacher_options(parser)
    how.add_argument("--preset", choices=("fast", "quality"), default="fast", help="about a minute, or several")
    how.add_argument(
        "--steps", type=numbers.steps, default=0, metavar="N", help="steps of each stage (default: the preset's)"
    )
    how.add_argument(
        "--guidance-scale", type=numbers.guidance_scale, metavar="G", help="how strongly to follow the prompt"
    )
    how.add_argument(
        "--weighting",
        choices=("constant", "sigma-squared", "dreamfusion", "uniform", "min-snr", "normalized"),
        help="of the noise levels (default: the recipe's): constant for images; sigma-squared for noise, the same as "
        "dreamfusion; uniform for noise; min-snr; normalized: every image moves equally far",
    )
    how.add_argument(
        "--times",
        choices=("dreamtime",),
        default="",
        help="noise levels that only fall, as in DreamTime (default: the recipe's, drawn between two bounds)",
    )
    add_guidance_options(how)
    how.add_argument(
        "--particles",
        type=numbers.whole(1, numbers.MOST_PARTICLES),
        default=1,
        metavar="N",
        help="objects that are made at once (default: 1); with --method vsd they share a critic that keeps them apart",
    )
    how.add_argument(
        "--critic-rate",
        type=numbers.number(0, 1),
        default=0.0,
        metavar="R",
        help="learning rate of vsd's critic (default: 1e-3 of a small teacher, ProlificDreamer's 1e-4 of a large one)",
    )
    how.add_argument("--negative", default="", metavar="PROMPT", help="what to move away from")
    how.add_argument(
        "--perp-neg",
        action="store_true",
        help="push away from the views that a camera does not see (teachers that are told views in words)",
    )
    how.add_argument(
        "--seed", type=numbers.seed, default=0, metavar="N", help="another seed is another object (default: 0)"
    )
    how.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: cuda if there is one")


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
    if options.cluster is None and (options.results is not None or options.manifest != "jsonl"):
        raise UserError("--results and --manifest are for a cluster: say which with --cluster")
    if options.cluster is not None and (given := for_one_machine(options)):
        raise UserError(f"{', '.join(given)}: for one machine, which has the files; leave it out with --cluster")


def for_one_machine(options: argparse.Namespace) -> list[str]:
    """The options among those given that name files of this machine, or need it itself."""
    given = {"--live": options.live, "--workers": options.workers > 1, "--tries": options.tries > 1}
    given |= {"--resume": options.resume, "--init": options.init, "--image": options.image, "--scene": options.scene}
    given |= {"--from": options.begun_from, "--dry-run": options.dry_run}
    return [name for name, value in given.items() if value not in (None, False)]


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """The options for many machines."""
    many = parser.add_argument_group("on many machines (pip install 'scoresmith[ray]')")
    many.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of a Ray cluster; auto: the one that this machine belongs to; local: begin one here. An object is a task",
    )
    many.add_argument(
        "--results",
        metavar="PLACE",
        help="where a cluster's results go: a folder or any fsspec address (default: --out)",
    )
    many.add_argument(
        "--manifest", choices=("jsonl", "parquet"), default="jsonl", help="what was made and measured (default: jsonl)"
    )


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
    jobs = [Job(request, folder.path, options.tries) for request, folder in zip(requests, folders, strict=True)]
    if options.tries > 1 and options.workers > 1:
        raise UserError("--tries judges one object after the other; leave --workers out")
    if options.live and options.workers > 1:
        raise UserError("--live shows one object at a time; leave --workers out")
    for job in jobs:
        if len(jobs) == 1 or options.overwrite:
            job.folder.require_free(options.overwrite)
        else:
            is_begun(job)
    return jobs


def make_all(options: argparse.Namespace, jobs: list[Job]) -> list[Outcome]:
    """Make what is left, in this process or in several; returns what became of each."""
    from cli.errors import UserError
    from cli.scenes.batch import make, make_one_after_the_other
    from cli.scenes.scene import release_text_encoders
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


def requests_of(options: argparse.Namespace) -> list[Request]:
    """What the options ask for, one request a prompt. Raises UserError if they cannot be met."""
    from cli.errors import UserError
    from cli.scenes.initial_mesh import placement_of, require_inside
    from cli.scenes.scene import Request
    from representations.assets.reading import load_mesh

    prompts = [numbers.checked_prompt(prompt) for prompt in (*options.prompts, *prompts_of(options.prompts_file))]
    if options.image is not None and not prompts:
        prompts = [numbers.checked_prompt(options.image.stem)]
    stages = stages_asked_for(options)
    if options.offload and options.method == "vsd":
        raise UserError("--method vsd trains a copy of the teacher, whose weights cannot wait in memory: no --offload")
    if options.image is not None and stages[-1] == "pixels":
        raise UserError("--image is of a thing in space, which is no flat picture: no --representation pixels")
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
        "steps": options.steps,
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
        "seed": options.seed,
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


def checked_stages(text: str) -> tuple[str, ...]:
    """The stages in a list such as "nerf,mesh"."""
    from cli.scenes.stages import STAGES

    stages = tuple(text.split(","))
    if stages not in STAGES:
        known = "  ".join(",".join(one) for one in STAGES)
        raise argparse.ArgumentTypeError(f"{numbers.shortened(text)} is none of {known}")
    return stages


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
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts-file {path}: {error}") from None
    prompts = [line for line in lines if line]
    if not prompts:
        raise UserError(f"--prompts-file {path} holds no prompt")
    return prompts
