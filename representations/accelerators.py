"""Packages for NVIDIA cards that are used where they work, and never needed.

NVIDIA Warp is the one that takes no more than `pip install`: its kernels stand beside those of the CPU, in the files
whose names end in `_warp`.

That a package can be imported says little: it may have been built for another CUDA, or not at all. So each is tried on
a few points before it is used for the first time, and what it says is compared; whatever goes wrong, the project's own
code does the work, and `scoresmith doctor` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

WARP, WARP_SOURCE = "warp", "warp-lang"
"""The package of NVIDIA Warp, and where it comes from."""

TOLERANCE = 1e-2
"""Of a trial's values: some of these packages compute in half precision."""


@dataclass(frozen=True)
class Accelerator:
    """A package that may do a part of the work.

    Attributes:
        package: its name for `import`.
        use: what it does here.
        trial: uses it on a few points; returns what it says and what it should say.
        source: what to give to `pip install`, if that is all that it takes.
    """

    package: str
    use: str
    trial: Callable[[], tuple[Tensor, Tensor]]
    source: str | None = None

    @cached_property
    def problem(self) -> str | None:
        """Why it is not used, on one line; None if it works. Tried once a process."""
        if not torch.cuda.is_available():
            return "it needs a CUDA card"
        try:
            found, expected = self.trial()
        except ModuleNotFoundError as error:
            return "not installed" + (f": pip install {self.source}" if self.source else f" ({error.name})")
        except Exception as error:  # it may fail in any way, at import, at compilation or at its first call
            return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        if found.shape != expected.shape:
            return f"it returns {tuple(found.shape)} where {tuple(expected.shape)} is due"
        off = float((found.float().cpu() - expected.float().cpu()).abs().max())
        return None if off <= TOLERANCE else f"its values are off by {off:.2g}"

    def works_for(self, tensor: Tensor) -> bool:
        """Whether it can be used on what is where ``tensor`` is."""
        return tensor.device.type == "cuda" and self.problem is None
