"""A model that reads one character at a time, as sampling needs it."""

from collections.abc import Callable
from functools import partial

import numpy as np

from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids, Params
from grucli.nn.products import for_one_row, multiplier, multiply, multiply_rows


class Stepper:
    """The same as ``Model.run`` over one step, with all that stays from step to step made once.

    The parameters must stay as they are while it is in use.

    Args:
        model: the model.
        B: number of streams.
        factors: ``model.factors(B, backward=False)``, where there are some already.
    """

    def __init__(self, model: Model, B: int, factors: Params | None = None) -> None:
        if factors is None:
            factors = model.factors(B, backward=False)
        dtype = model.params.flat.dtype
        self.forward = CELLS[model.cell].forward
        self.layers = model.in_blocks(factors)
        self.output = model.output(model.params)
        self.c: Array = np.empty((B, model.V), dtype)  # h_t W_hc
        self.multiply_output: Callable[[Array], object] = partial(
            multiply_rows, W=self.output.W_hc, out=self.c
        )
        if B == 1:
            self.layers = [w._replace(W_h=for_one_row(w.W_h)) for w in self.layers]
            self.multiply_output = multiplier(for_one_row(self.output.W_hc[None, None]), self.c)
        self.boundary = model.boundary
        self.caches = [CELLS[model.cell].allocate(1, B, model.H, dtype) for _ in range(model.L)]
        first = self.layers[0]
        self.projection: Array = first.W_x[:, 0, 0] + first.b[:, None]  # (G, V, H)

    def step(self, x: Ids, state: Array) -> tuple[Array, Array]:
        """Read one character.

        Args:
            x: ids, (B,).
            state: of all layers, (L, B, S H).

        Returns:
            The logits of the next character, (B, V), and the state after this one.
        """
        last_state = np.empty_like(state)
        if self.boundary is not None:
            state = np.where((x == self.boundary)[:, None], 0.0, state).astype(
                state.dtype, copy=False
            )
        for number, (w, cache) in enumerate(zip(self.layers, self.caches, strict=True)):
            a = cache.a[:, 0]  # (G, B, H)
            if number == 0:
                np.take(self.projection, x, axis=1, out=a, mode="clip")
            else:
                multiply(self.caches[number - 1].h[1], w.W_x, out=a)
                a += w.b[:, None]
            last_state[number] = self.forward(w, state[number], cache)
        self.multiply_output(self.caches[-1].h[1])
        return self.c + self.output.b_c, last_state
