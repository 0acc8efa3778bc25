"""Stable Diffusion 1.5 at its full size, with random weights, on this machine: what each part takes, and a whole run.

    python -m tests.benchmarks.full_size FOLDER [parts] [run]

makes the teacher in FOLDER/teacher (4.3 GB, kept for the next time), then measures each part of a step in one process
("parts"), and `scoresmith generate --steps 2` from the prompt to the mesh in another ("run"). Weights that say nothing
take as long and as much room as real ones. Minutes of a free core: never part of the tests.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sds.prompts import PromptSet, condition_for
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from tests.sds.test_memory_budget import SD_1_5
from tests.sds.tiny_pipelines import clip_tokenizer

Result = TypeVar("Result")
PROMPT = "a red chair"
MOST_GIB = 12.0


def make_teacher(folder: Path) -> Path:
    """The pipeline of Stable Diffusion 1.5 in every size but that of its vocabulary of merges."""
    if (folder / "teacher" / "model_index.json").exists():
        return folder / "teacher"
    shutil.rmtree(folder / "teacher", ignore_errors=True)
    shutil.rmtree(folder / "tokenizer", ignore_errors=True)
    tokenizer = clip_tokenizer(folder / "tokenizer")
    tokenizer.model_max_length = 77
    torch.manual_seed(0)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            projection_dim=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=512,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer, UNet2DConditionModel(**SD_1_5), scheduler, None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder / "teacher")
    return folder / "teacher"


def measured(name: str, part: Callable[[], Result]) -> Result:
    """What a part returns; prints its time and the most memory that the process had during it."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    began, processor = time.monotonic(), time.process_time()
    result = part()
    seconds, processor = time.monotonic() - began, time.process_time() - processor
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    print(f"{name:42} {seconds:8.1f} s, {processor:8.1f} s of the processor, peak {peak:5.2f} GiB", flush=True)
    return result


def parts(teacher_folder: Path) -> None:
    """One step for one view of 512 px, part by part."""
    print(f"Stable Diffusion 1.5, float32, {torch.get_num_threads()} threads of the CPU")
    teacher: DiffusersTeacher = measured("loading", lambda: load_diffusers_teacher(teacher_folder))
    prompts = PromptSet(PROMPT)
    measured("text encoded, text encoder released", lambda: teacher.release_text_encoders(prompts.texts()))
    image = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = measured("autoencoder, forward", lambda: teacher.encode(image))
    told = condition_for(teacher, prompts, None, 1)
    both = type(told.conditional).concatenate([told.conditional, told.unconditional])
    noisy = x.detach().repeat(2, 1, 1, 1)
    x0 = measured("UNet, two rows", lambda: teacher(noisy, torch.full((2,), 0.5, dtype=torch.float64), both))
    assert bool(torch.isfinite(x0).all())
    measured("autoencoder, gradient", lambda: x.backward(x.detach()))
    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())
    measured("autoencoder, decoding", lambda: torch.no_grad()(teacher.decode)(x.detach()))


def run(teacher_folder: Path, out: Path) -> None:
    """The command, from the prompt to the mesh: two steps of a field and two of a mesh."""
    command = [sys.executable, "-m", "cli.main", "generate", PROMPT, "--teacher", str(teacher_folder)]
    command += ["--out", str(out), "--overwrite", "--steps", "2", "--device", "cpu"]

    def watched() -> float:
        child = subprocess.Popen(command)
        peak = 0
        while child.poll() is None:
            status = Path(f"/proc/{child.pid}/status")
            lines = status.read_text() if status.exists() else ""
            peak = max(peak, int(lines.split("VmHWM:")[1].split()[0]) if "VmHWM:" in lines else 0)
            time.sleep(0.5)
        assert child.returncode == 0, f"generate ended with {child.returncode}"
        return peak / 2**20

    began = time.monotonic()
    peak = watched()
    of_child = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = of_child.ru_utime + of_child.ru_stime
    told = f"{time.monotonic() - began:8.1f} s, {processor:8.1f} s of the processor, peak {peak:5.2f} GiB"
    print(f"{'generate --steps 2, field and mesh':42} {told}")
    assert peak <= MOST_GIB
    assert (out / "mesh.glb").exists()


def main() -> None:
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or ["parts", "run"]
    folder.mkdir(parents=True, exist_ok=True)
    teacher = make_teacher(folder)
    if "parts" in wanted:
        parts(teacher)
    if "run" in wanted:
        run(teacher, folder / "run")


if __name__ == "__main__":
    main()
