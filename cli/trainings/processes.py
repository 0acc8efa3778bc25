"""Several processes for one run, started by torchrun and joined by Hugging Face accelerate.

Gloo joins processes on CPUs, NCCL those on CUDA cards. That NCCL path has never been run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cli.errors import UserError
from cli.teachers import choose_device


@contextmanager
def joined_processes(device_name: str, wanted: int) -> Iterator[torch.device]:
    """The device of this process, after all processes of the run have found each other.

    Args:
        device_name: "auto", "cpu" or "cuda".
        wanted: how many processes the user means to run; 0 takes as many as were started.

    Raises:
        UserError: if another number was started, or the processes do not find each other. Launchers are known to start
            one process where two were asked for, and to say nothing; two runs that write one folder are worse.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted and wanted != started:
        raise UserError(
            f"--processes {wanted}, but {started} {'was' if started == 1 else 'were'} started: begin with `torchrun "
            f"--nproc_per_node {wanted} -m scoresmith distill ...` (`accelerate launch --cpu` may start one only)"
        )
    device = choose_device(device_name)
    if started == 1:
        yield device
        return
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes != started:
        raise UserError(
            f"{started} processes were started, but accelerate has joined {accelerator.num_processes}: "
            "on CPUs set ACCELERATE_USE_CPU=true, on cards start at most one process for each"
        )
    try:
        yield accelerator.device
    finally:
        accelerator.end_training()
