"""Checkpoints that are either whole or not there, and that hold data only."""

from __future__ import annotations

import io
import math
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sds.sharding import dealt_out

PARTIAL = ".partial-"
"""In the names of files that are being written; see `forget_partial_files`."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, of another run, or holds something other than data."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    At any moment ``path`` is the old file or the new one, never half of one; an error leaves the old one.
    The temporary name keeps the suffix, by which many writers choose their format. Who may read the file is what the
    user's umask says, or what was said of the old file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = permissions_for(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:80]}{PARTIAL}", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def permissions_for(path: Path) -> int:
    """Permission bits of a file that is written anew: of the old one, else what the umask leaves of rw-rw-rw-."""
    try:
        return stat.S_IMODE(path.stat().st_mode) & 0o666
    except OSError:
        return 0o666 & ~current_umask()


def current_umask() -> int:
    """The permission bits that the user's new files lack."""
    try:  # the only way to ask that does not change it for a moment, for all threads
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("Umask:")[1].split()[0], 8)
    except (OSError, IndexError, ValueError):
        umask = os.umask(0o022)
        os.umask(umask)
        return umask


def is_partial(path: Path) -> bool:
    """Whether a path has the name of a file that `written_whole` has not finished."""
    return path.name.startswith(".") and PARTIAL in path.name


def forget_partial_files(folder: Path) -> None:
    """Delete what killed writers left in a folder. Only call it while nobody else can be writing there."""
    for path in filter(is_partial, folder.glob(".*")):
        path.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state``, nested containers of tensors and plain values. Raises OSError if the disk is full."""
    buffer = io.BytesIO()  # torch.save into a file would report a full disk as an internal error
    torch.save(state, buffer)
    with written_whole(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; nothing in the file is ever executed.

    What it takes to read is in proportion to the file's size: an archive that swells when it is unpacked is refused.

    Raises CheckpointError if it is missing, damaged, would need code to be read, or holds no dictionary.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is no ordinary file")
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise CheckpointError(f"{path} is not a checkpoint of scoresmith: it is compressed")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except CheckpointError:
        raise
    except (Exception, RecursionError) as error:
        # torch reports a damaged or unsafe file by half a dozen exception types.
        detail = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not a checkpoint of scoresmith, or it is damaged: {detail}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a checkpoint of scoresmith: it holds a {type(state).__name__}")
    return state


def require_form(state: Any, like: Any, name: str = "the checkpoint") -> None:
    """Make sure that ``state`` has the keys, lengths, types and shapes of ``like``; values may differ.

    Args:
        state: what was read.
        like: what an object of this run would have written: nested dictionaries, lists, tensors and plain values.
        name: of the state, for the message.

    Raises:
        CheckpointError: if it has another form; the message says where.
    """
    if isinstance(like, Tensor):
        if not is_plain(state) or state.shape != like.shape or state.dtype != like.dtype:
            raise CheckpointError(f"{name} must be {in_words(like)}, not {in_words(state)}")
    elif isinstance(like, Mapping):
        if not isinstance(state, Mapping) or state.keys() != like.keys():
            raise CheckpointError(f"{name} must hold {in_words(like)}, not {in_words(state)}")
        for key, value in like.items():
            require_form(state[key], value, f"{name}: {key}")
    elif isinstance(like, list | tuple):
        if not isinstance(state, list | tuple) or len(state) != len(like):
            raise CheckpointError(f"{name} must be a list of {len(like)}, not {in_words(state)}")
        for number, (item, value) in enumerate(zip(state, like, strict=True)):
            require_form(item, value, f"{name}: {number}")
    elif isinstance(like, float):
        if isinstance(state, bool) or not isinstance(state, int | float) or not math.isfinite(state):
            raise CheckpointError(f"{name} must be a number, not {in_words(state)}")
    elif type(state) is not type(like):
        raise CheckpointError(f"{name} must be {in_words(like)}, not {in_words(state)}")


def restore_module(module: Any, state: Any, name: str) -> None:
    """Continue a module, or anything with its two members, from a `state_dict`, after a look at what is in it.

    Shapes are the module's own business: some take tensors of any length.

    Raises:
        CheckpointError: if the state is of another module; ``name`` says which was meant.
    """
    own = module.state_dict()
    require_form(dict.fromkeys(state) if isinstance(state, Mapping) else state, dict.fromkeys(own), name)
    for key, value in own.items():
        if isinstance(value, Tensor) and not (is_plain(state[key]) and state[key].dtype == value.dtype):
            raise CheckpointError(f"{name}: {key} must be {in_words(value)}, not {in_words(state[key])}")
    try:
        module.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{name} is of another run: {' '.join(str(error).split())[:200]}") from None


def is_plain(value: Any) -> bool:
    """Whether this is a tensor whose elements all lie in its own memory: not sparse, expanded or without values."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type != "meta"
        and value.untyped_storage().nbytes() >= (value.storage_offset() + value.numel()) * value.element_size()
    )


def in_words(value: Any) -> str:
    """What a part of a checkpoint is, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, Mapping):
        names = sorted(map(str, value))
        return f"{', '.join(names[:6])}{' ...' if len(names) > 6 else ''}" if names else "nothing"
    return f"a {type(value).__name__}"


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Continue an optimiser from its `state_dict`, after a look at every shape in it.

    Fused kernels trust the shapes of their moments: those of other parameters would read and write beyond their ends.

    Raises:
        CheckpointError: before anything changes, if the state is of other parameters or another optimiser.
    """
    own = optimizer.state_dict()
    if not isinstance(state, Mapping) or state.keys() != own.keys() or not isinstance(state["state"], Mapping):
        raise CheckpointError(f"the optimiser's state must hold {in_words(own)}, not {in_words(state)}")
    require_form(state["param_groups"], [numbers_as_floats(group) for group in own["param_groups"]], "the optimiser")
    numbers = [number for group in own["param_groups"] for number in group["params"]]
    if [number for group in state["param_groups"] for number in group["params"]] != numbers:
        raise CheckpointError("the optimiser's state is of other parameters")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    shapes = {number: parameter.shape for number, parameter in zip(numbers, parameters, strict=True)}
    if not state["state"].keys() <= shapes.keys():
        raise CheckpointError("the optimiser's state is of more parameters than there are")
    wanted = ADAM_STATE if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW) else frozenset()
    for number, moments in state["state"].items():
        if not isinstance(moments, Mapping) or not wanted <= moments.keys():
            raise CheckpointError(f"the optimiser's state of parameter {number} holds {in_words(moments)}")
        for name, moment in moments.items():
            if name in wanted - {"step"} and not isinstance(moment, Tensor):
                raise CheckpointError(f"the optimiser's {name} must be a tensor, not {in_words(moment)}")
            require_moment(name, moment, shapes[number])
    by_number = dict(zip(numbers, parameters, strict=True))
    moments_of = {
        number: {name: in_shards(moment, by_number[number]) for name, moment in moments.items()}
        for number, moments in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments_of})


def in_shards(moment: Any, parameter: Tensor) -> Any:
    """What an optimiser keeps of a parameter, dealt out among the processes as that is."""
    return dealt_out(moment, parameter) if isinstance(moment, Tensor) and moment.dim() else moment


ADAM_STATE = frozenset({"step", "exp_avg", "exp_avg_sq"})
"""What Adam keeps of each parameter."""


def numbers_as_floats(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of parameters whose settings may be any number: a rate that begins as 1 goes on as 0.9."""
    return {name: float(value) if type(value) is int else value for name, value in group.items()}


def require_moment(name: str, moment: Any, shape: torch.Size) -> None:
    """Make sure that what an optimiser keeps of a parameter is a number, or has the parameter's ``shape``."""
    if not isinstance(moment, Tensor):
        if moment is not None and (isinstance(moment, bool) or not isinstance(moment, int | float)):
            raise CheckpointError(f"the optimiser's {name} must be a number, not {in_words(moment)}")
        return
    one_number = moment.dim() == 0 and name in ("step", "eta", "mu")
    if not is_plain(moment) or not moment.is_floating_point() or not (one_number or moment.shape == shape):
        raise CheckpointError(f"the optimiser's {name} must have the shape {tuple(shape)}, not {in_words(moment)}")
