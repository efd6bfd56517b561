"""A training step of the same network in JAX, one compiled function, as its users write it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

jax.config.update("jax_platforms", "cpu")


def matmul(factor: Any, a: Any, b: Any) -> Any:
    """A product with its factors in one precision, and its sums in float32."""
    return jnp.matmul(a.astype(factor), b.astype(factor), preferred_element_type=jnp.float32)


def layer(factor: Any, w: Any, x: Any, h: Any) -> tuple[Any, Any]:
    """A GRU over time, the input projection before it: the last state, and all, (T, B, H)."""
    inputs, H = matmul(factor, x, w["input"]) + w["bias"], h.shape[1]  # (T, B, 3H)

    def cell(h: Any, a: Any) -> tuple[Any, Any]:
        b = matmul(factor, h, w["recurrent"])  # (B, 3H)
        z, r = jnp.split(jax.nn.sigmoid(a[:, : 2 * H] + b[:, : 2 * H]), 2, axis=1)
        n = jnp.tanh(a[:, 2 * H :] + r * b[:, 2 * H :])
        h = (1 - z) * n + z * h
        return h, h

    return lax.scan(cell, h, inputs)


def loss(params: Any, state: Any, x: Any, y: Any, factor: Any) -> tuple[Any, Any]:
    """The mean loss of a window, and the states after it."""
    out, last = params["embedding"][x], []
    for w, h in zip(params["layers"], state, strict=True):
        h, out = layer(factor, w, out, h)
        last.append(h)
    logits = matmul(factor, out, params["output"]) + params["bias"]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], axis=-1)
    return -chosen.mean(), jnp.stack(last)


def update(factor: Any, params: Any, moments: Any, state: Any, t: Any, x: Any, y: Any) -> Any:
    """A step: the gradient, clipped, and Adam."""
    (_, state), g = jax.value_and_grad(loss, has_aux=True)(params, state, x, y, factor)
    norm = jnp.sqrt(sum(jnp.vdot(one, one) for one in jax.tree.leaves(g)))
    g = jax.tree.map(lambda one: one * jnp.minimum(1.0, 1.0 / norm), g)
    m = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, moments[0], g)
    v = jax.tree.map(lambda old, new: 0.999 * old + 0.001 * new**2, moments[1], g)
    lr = 2e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    params = jax.tree.map(lambda p, m, v: p - lr * m / (jnp.sqrt(v) + 1e-8), params, m, v)
    return params, (m, v), state, t + 1


def initial(size: Any, vocabulary: int, embedding: int) -> Any:
    """Random parameters."""
    keys = iter(jax.random.split(jax.random.key(0), 2 * size.L + 2))

    def weights(rows: int, columns: int) -> Any:
        return jax.random.normal(next(keys), (rows, columns)) / jnp.sqrt(rows)

    layers = [
        {
            "input": weights(embedding if number == 0 else size.H, 3 * size.H),
            "recurrent": weights(size.H, 3 * size.H),
            "bias": jnp.zeros(3 * size.H),
        }
        for number in range(size.L)
    ]
    outer = {"embedding": weights(vocabulary, embedding), "output": weights(size.H, vocabulary)}
    return {**outer, "layers": layers, "bias": jnp.zeros(vocabulary)}


def jax_step(size: Any, vocabulary: int, embedding: int, precision: str) -> Callable[[], object]:
    """One step of training.

    Args:
        size: the point of the grid, with ``B``, ``T``, ``H`` and ``L``.
        vocabulary: number of characters.
        embedding: units of the embedding.
        precision: of the factors of products; sums are in float32.
    """
    params = initial(size, vocabulary, embedding)
    moments = tuple(jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    text = jax.random.randint(jax.random.key(1), (size.T + 1, size.B), 0, vocabulary)
    run: Any = params, moments, jnp.zeros((size.L, size.B, size.H)), jnp.float32(1)
    compiled = jax.jit(partial(update, jnp.dtype(precision)), donate_argnums=(0, 1, 2))

    def step() -> None:
        nonlocal run
        run = jax.block_until_ready(compiled(*run, text[:-1], text[1:]))

    return step
