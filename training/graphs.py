"""CUDA graphs: thousands of small kernels started as one.

At the sizes that GANs train at, a GPU of today is done with a kernel before Python has started the
next one. A phase of training is recorded once, with forward and backward pass, and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from training.errors import SetupError

Function = Callable[..., tuple[Tensor, ...]]

_WARM_UPS = 2  # before recording: compilers, cuDNN's choice of algorithms, caches


class Graphed:
    """A function of tensors that is recorded at its first call, and replayed from then on.

    Parameters
    ----------
    function
        Takes tensors or None, always of the same shapes, and gives tensors. Draws nothing, waits
        for nothing, and reads nothing that changes between calls but its arguments and weights.
    changed : list of Tensor
        What it changes in place besides; as it was again after warming up.
    pool
        Memory that graphs share which run one after the other.

    Raises
    ------
    SetupError
        By the first call, if it cannot be recorded.
    """

    def __init__(self, function: Function, changed: Sequence[Tensor], pool: Any) -> None:
        self._function, self._changed, self._pool = function, changed, pool
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor | None] = []
        self._outputs: tuple[Tensor, ...] = ()

    def __call__(self, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Call it; what it gives is the caller's own."""
        if self._graph is None:
            self._record(tensors)
        assert self._graph is not None
        for kept, given in zip(self._inputs, tensors, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        self._graph.replay()
        # The memory of the outputs belongs to the next graph of the pool.
        return tuple(output.clone() for output in self._outputs)

    def _record(self, tensors: tuple[Tensor | None, ...]) -> None:
        self._inputs = [None if t is None else t.detach().clone() for t in tensors]
        before = [tensor.clone() for tensor in self._changed]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                self._function(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            # The loader's thread pins memory meanwhile, which is its own affair.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._outputs = self._function(*self._inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise SetupError(
                f"a phase of training cannot be recorded as a CUDA graph here: {error}; "
                "set speed.cuda_graphs=off"
            ) from error
        self._graph = graph
        for tensor, value in zip(self._changed, before, strict=True):
            tensor.copy_(value)
