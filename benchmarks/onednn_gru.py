"""A layer of GRU, forward and backward, beside oneDNN's own GRU, whose equations are the same.

``python -m benchmarks.onednn_gru``; one thread, 32 streams of 128 steps, inputs as wide as the
layer. Both begin with weights in float32, which change after every step of training, and end with
gradients in float32. The results are compared, too: oneDNN's update gate is 1 - z.
"""

import argparse
import ctypes
import math
import sys
import time
from statistics import median

import numpy as np

from benchmarks.page import table, write
from grucli.compilation import prepare
from grucli.nn import onednn
from grucli.nn.backend import Backend
from grucli.nn.cells import CELLS
from grucli.nn.input_projection import project, project_backward
from grucli.nn.onednn import ALLOCATE, Call, Handle, Memory, Precision, Primitive, description
from grucli.nn.packed import PackedWeights
from grucli.nn.params import Array, Params
from grucli.threads import limit_blas

T, B, UNITS = 128, 32, (128, 256, 512, 1024)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
MOST_DIFFERENT = {"float32": 1e-4, "bfloat16": 0.05}  # relative to the norm of an array

# dnnl_prop_kind_t, dnnl_rnn_direction_t, dnnl_query_t (exec_arg_md)
TRAINING, BACKWARD, LEFT_TO_RIGHT, ARGUMENT = 64, 128, 1, 255
# DNNL_ARG_*: x, the state before, input and recurrent weights, biases, h, the state after
ARGUMENTS = X, STATE, W_X, W_H, BIAS, H_ALL, LAST = 1, 2, 33, 34, 41, 17, 18
WORKSPACE, GRADIENT = 64, 128  # of a gradient: more than the argument that it belongs to
LEARNT = (W_X, W_H, BIAS)

Arrays = dict[int, Array]  # by argument; weights are (G, D, H), biases (G, H)


def case(H: int) -> Arrays:
    """Numbers for a layer; at ``H_ALL`` the gradient of each h."""
    rng = np.random.default_rng(H)
    shapes = {X: (T, B, H), STATE: (B, H), W_X: (3, H, H), W_H: (3, H, H), BIAS: (3, H)}
    shapes |= {H_ALL: (T, B, H), LAST: (B, H)}
    scale = {W_X: H**-0.5, W_H: H**-0.5, LAST: 0.0}
    return {
        key: rng.standard_normal(shape, np.float32) * np.float32(scale.get(key, 0.5))
        for key, shape in shapes.items()
    }


class Ours:
    """The compiled GRU with products by oneDNN."""

    def __init__(self, arrays: Arrays, precision: Precision) -> None:
        H = arrays[X].shape[2]
        backend = Backend("onednn", precision, compiled=True)
        self.cell, self.arrays = backend.kernels.cells["gru"], arrays
        shapes = {f"layer2.{name}": shape for name, shape in self.cell.shapes(H, H).items()}
        params, gradients = Params(shapes, np.float32), Params(shapes, np.float32)
        for name, key in zip(shapes, (W_X, W_H, BIAS), strict=True):
            params[name][:] = arrays[key]
        self.packed = PackedWeights(params, B, backend)
        self.w, self.dw = (
            CELLS["gru"].WEIGHTS(*(some[name] for name in shapes))
            for some in (self.packed, gradients)
        )
        self.cache = self.cell.allocate(T, B, H, arrays[X])
        self.dh, self.dx = (np.empty_like(arrays[X]) for _ in range(2))

    def prepare(self) -> None:
        np.copyto(self.dh, self.arrays[H_ALL])  # the backward pass overwrites it

    def step(self) -> None:
        arrays, cache = self.arrays, self.cache
        self.packed.update()
        project(self.w.W_x, self.w.b, arrays[X], cache.a)
        self.cell.forward(self.w, arrays[STATE], cache)
        self.cell.backward(self.w, self.dh, arrays[LAST], cache, self.dw)
        project_backward(self.w.W_x, arrays[X], cache.a, self.dw, self.dx)

    def results(self) -> list[Array]:
        return [self.cache.h[1:], self.dx, *self.dw]


class Theirs:
    """oneDNN's GRU; its weights are copied to the layouts of its two passes in each step."""

    def __init__(self, arrays: Arrays, precision: Precision) -> None:
        self.arrays = {key: as_theirs(key, array) for key, array in arrays.items()}
        forward, backward = described(self.arrays, precision)
        memories = {key: of(forward, key) for key in (*ARGUMENTS, WORKSPACE)}
        others = {key: of(backward, key) for key in (W_X, W_H)}
        gradients = {key + GRADIENT: of(backward, key + GRADIENT) for key in ARGUMENTS}
        for key in (X, STATE, BIAS):
            copy(self.arrays[key], memories[key])()
        for key in (H_ALL, LAST):
            copy(self.arrays[key], gradients[key + GRADIENT])()
        self.zeros = {key: np.zeros_like(self.arrays[key]) for key in LEARNT}
        self.out = {key: np.empty_like(self.arrays[key]) for key in (*LEARNT, X, H_ALL)}
        self.calls = [
            *(copy(self.arrays[key], some[key]) for some in (memories, others) for key in others),
            onednn.execution(Primitive(forward), memories),
            # it adds to the gradients
            *(copy(self.zeros[key], gradients[key + GRADIENT]) for key in LEARNT),
            onednn.execution(Primitive(backward), memories | others | gradients),
            *(copy(self.out[key], gradients[key + GRADIENT], back=True) for key in LEARNT),
        ]
        self.last = [
            copy(self.out[X], gradients[X + GRADIENT], back=True),
            copy(self.out[H_ALL], memories[H_ALL], back=True),
        ]

    def prepare(self) -> None:
        pass

    def step(self) -> None:
        for call in self.calls:
            onednn.check(call())

    def results(self) -> list[Array]:
        for call in self.last:
            onednn.check(call())
        return [as_theirs(key, self.out[key], back=True) for key in (H_ALL, X, *LEARNT)]


def as_theirs(key: int, array: Array, *, back: bool = False) -> Array:
    """An array in the shape and with the signs of oneDNN, or back; gates are its last axis but one.

    Its h is u h_{t-1} + (1 - u) n, so that u = 1 - z = sigmoid(-(x W + h U + b)).
    """
    if key not in LEARNT:
        return array if back or key not in (STATE, LAST) else array[None, None]
    gates_at = -2 if key != BIAS else 0
    new = np.moveaxis(array[0, 0], gates_at, 0).copy() if back else array.copy()
    new[0] *= -1  # the gate z
    return new if back else np.ascontiguousarray(np.moveaxis(new, 0, gates_at))[None, None]


def described(arrays: Arrays, precision: Precision) -> tuple[Handle, Handle]:
    """The forward and the backward pass; for them oneDNN chooses the layouts of matrices."""

    def descriptions(kind: Precision) -> list[object]:
        found = list[object]()
        for key in ARGUMENTS:
            shape = arrays[key].shape
            strides = None if key in (W_X, W_H) else plain(arrays[key])
            found.append(description(shape, "float32" if key == BIAS else kind, strides).value)
        return found

    c, engine = onednn.load().c, onednn.load().engine
    create, create_backward = (
        getattr(c, f"dnnl_gru_{name}_primitive_desc_create") for name in ("forward", "backward")
    )
    arguments = descriptions(precision)
    forward = Handle("primitive_desc", create, engine, TRAINING, LEFT_TO_RIGHT, *arguments, 0, None)
    arguments += descriptions("float32")
    last = 0, forward.value, None
    return forward, Handle(
        "primitive_desc", create_backward, engine, BACKWARD, LEFT_TO_RIGHT, *arguments, *last
    )


def plain(array: Array) -> tuple[int, ...]:
    """The strides of an array, in numbers; NumPy's own are 0 along an axis of length 1."""
    return tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))


def of(pass_: Handle, key: int) -> Memory:
    """Memory for an argument of a pass, in the layout that it expects."""
    query = onednn.load().c.dnnl_primitive_desc_query_md
    return Memory(ctypes.c_void_p(query(pass_.value, ARGUMENT, key)), ALLOCATE)


def copy(array: Array, memory: Memory, *, back: bool = False) -> Call:
    """A call that copies an array to a memory, or back."""
    get = onednn.load().c.dnnl_memory_get_memory_desc
    form, theirs = description(array.shape, "float32", plain(array)).value, ctypes.c_void_p()
    onednn.check(get(memory.value, ctypes.byref(theirs)))
    ours = Memory(form, onednn.address(array))
    if back:
        return onednn.call(Primitive(onednn.reorder(theirs, form)), memory, ours)
    return onednn.call(Primitive(onednn.reorder(form, theirs)), ours, memory)


def timed(side: Ours | Theirs) -> float:
    side.prepare()
    began = time.perf_counter()
    side.step()
    return time.perf_counter() - began


def row(H: int, precision: Precision, turns: int) -> list[str]:
    """A line of the table; first the results are compared."""
    arrays = case(H)
    sides = Ours(arrays, precision), Theirs(arrays, precision)
    times = [[timed(side) for side in sides] for _ in range(turns)][1:]
    for ours, theirs in zip(*(side.results() for side in sides), strict=True):
        different = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert different < MOST_DIFFERENT[precision], f"they differ by {different:.1e}"
    ours, theirs = (1000 * median(of_side) for of_side in zip(*times, strict=True))
    return [str(H), precision, f"{ours:.1f} ms", f"{theirs:.1f} ms", f"**{theirs / ours:.2f}**"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=31)
    parser.add_argument("--units", type=int, nargs="+", default=UNITS)
    arguments = parser.parse_args()
    limit_blas(1)
    prepare("gru")
    lines = []
    for H in arguments.units:
        for precision in PRECISIONS:
            lines.append(row(H, precision, arguments.turns))
            print(*lines[-1], file=sys.stderr)
    header = ["units", "precision", "grucli", "oneDNN's GRU", "oneDNN / grucli"]
    note = f"Medians of {arguments.turns - 1} steps of each, in turn."
    write("onednn-gru", f"{table(header, lines)}\n\n{note}")


if __name__ == "__main__":
    main()
