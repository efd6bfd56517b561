"""Mistakes in the backward pass, made on purpose to see the gradient check fail.

A mistake replaces one place in the source of a module by something wrong. The tests make every
mistake of every cell; ``grucli gradcheck --break`` makes one of them.
"""

import inspect
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from grucli.errors import UsageError
from grucli.nn import gradcheck, input_projection
from grucli.nn import model as model_module
from grucli.nn.cells import CELLS, Cell

Changes = dict[str, tuple[str, str]]
"""For each mistake its name, a place of the source that occurs once, and what to put there."""


@dataclass(frozen=True)
class Mistake:
    """A mistake in one module.

    Attributes:
        name: the derivative or the term that is wrong.
        module: the module in which the mistake is made.
        right: the part of the source that is right.
        wrong: what replaces it.
    """

    name: str
    module: types.ModuleType
    right: str
    wrong: str

    @property
    def slug(self) -> str:
        """The name for a command line."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def mistakes(cell: str) -> list[Mistake]:
    """Return the mistakes that can be made with a cell: its own, and those of the whole model."""
    own = inspect.getmodule(type(CELLS[cell]))
    assert own is not None
    changes = [
        (own, _OF_CELLS.get(cell, {})),
        (input_projection, _biases(CELLS[cell]) | _INPUT),
        (model_module, _MODEL),
    ]
    return [
        Mistake(name, module, right, wrong)
        for module, of_module in changes
        for name, (right, wrong) in of_module.items()
    ]


def find(cell: str, name: str) -> Mistake:
    """Return the mistake with a name, in full or as for a command line.

    Raises:
        UsageError: there is none; the message lists the names.
    """
    known = mistakes(cell)
    for mistake in known:
        if name in (mistake.name, mistake.slug):
            return mistake
    names = "\n".join(f"  {mistake.slug}" for mistake in known)
    raise UsageError(f"there is no mistake {name!r} for the cell {cell}; there are:\n{names}")


@contextmanager
def made(cell: str, mistake: Mistake) -> Iterator[None]:
    """Make a mistake in this process; at the end everything is right again."""
    wrong = changed(mistake.module, mistake.right, mistake.wrong)
    before = CELLS[cell], vars(model_module)["project_backward"], vars(gradcheck)["Model"]
    try:
        if mistake.module is input_projection:
            _set_project_backward(wrong.project_backward)
        elif mistake.module is model_module:
            vars(gradcheck)["Model"] = wrong.Model
        else:
            CELLS[cell] = getattr(wrong, type(CELLS[cell]).__name__)()
        yield
    finally:
        CELLS[cell], project_backward, vars(gradcheck)["Model"] = before
        _set_project_backward(project_backward)


def _set_project_backward(function: object) -> None:
    for module in (model_module, gradcheck):
        vars(module)["project_backward"] = function


def changed(module: types.ModuleType, right: str, wrong: str) -> types.ModuleType:
    """Return a copy of a module with one place of its source changed."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{right!r} occurs {source.count(right)} times in the source"
    copy = types.ModuleType(module.__name__)
    copy.__dict__["__file__"] = module.__file__
    code = compile(source.replace(right, wrong), f"<{module.__name__} with a mistake>", "exec")
    exec(code, copy.__dict__)
    return copy


# ---- the mistakes


_GRU: Changes = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("add_z(z)", "pass"),
    "route 3, candidate": ("dh_next += drh  # route 3", "pass  #"),
    "route 4, reset": ("add_r(r)", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "z (1 - z) without z": ("write *= dn", "write *= dh_next"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= drh  # (2)", "r *= drh / buffer * h_prev  #"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "dz without h_{t-1}": (
        "write = np.subtract(n, h_prev, out=second)",
        "write = second; write[:] = n",
    ),
    "reset gate left out, forward": ("np.multiply(r, h_prev, out=rh)", "rh[:] = h_prev"),
    "reset after the product, backward": (
        "multiply_n(n)",
        "multiply_n(n * r); first /= r",
    ),
    "reset after the product, weights": (
        "before = h_prevs, h_prevs, dh",
        "before = h_prevs, h_prevs, h_prevs",
    ),
    "weights from the wrong state": ("(h_prevs,) = cache.before", "h_prevs = cache.h[1:]"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
    "gradient from above": (
        "dh_next += buffer  #",
        "dh_next += buffer * (h_prev is not cache.steps[0][0])  #",
    ),
}

_AFTER: Changes = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("add_z(z)", "pass"),
    "route 3, candidate": ("add_u(u)", "pass"),
    "route 4, reset": ("add_r(r)", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= du", "r *= n"),
    "dr without u": ("r *= u", "pass"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "du without r": ("du = np.multiply(n, r, out=write)", "du = write; write[:] = n"),
    "b_u": ("np.sum(du_all, axis=(0, 1), out=dw.b_u)", "pass"),
    "b_u outside the reset gate": (
        "n += np.multiply(r, u, out=n_product)",
        "n += r * (u - w.b_u) + w.b_u",
    ),
    "recurrent weights of the candidate": ("cache.a[1], du_all)", "cache.a[1], cache.a[2])"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
}


def _biases(cell: Cell) -> Changes:
    """The bias of each gate left out."""
    right, names = "np.sum(dw.W_x, axis=1, out=dw.b)", cell.by_gate("b", np.zeros(len(cell.GATES)))
    return {name: (right, f"{right}; dw.b[{g}] = 0") for g, (name, _) in enumerate(names)}


_INPUT: Changes = {
    "b of a higher layer": ("np.sum(da, axis=(1, 2), out=dw.b)", "dw.b[:-1] = da[:-1].sum((1, 2))"),
    "input weights of a repeated character": (
        "np.matmul(ones[start:end], rows[start - lo : end - lo], out=dW_xg[v])",
        "dW_xg[v] = rows[start - lo]",
    ),
    "input weights of the wrong character": ("out=dW_xg[v])", "out=dW_xg[v - 1])"),
    "input weights of a higher layer": (
        "W_xg.gradient(as_rows(x), as_rows(da_g), dW_xg)",
        "dW_xg[:] = 0.0",
    ),
    "input of a layer": (
        "np.sum(parts, axis=0, out=dx_rows)",
        "np.sum(parts[1:], axis=0, out=dx_rows)",
    ),
}

_MODEL: Changes = {
    "initial state of one layer": (
        "dstate[number] = CELLS[self.cell].backward(",
        "dstate[number] = (number > 0) * CELLS[self.cell].backward(",
    ),
    "dropout": ("workspace.dh[:] *= masks[number]", "pass"),
    "b_c": ("dw.b_c[:] += c.sum(axis=0)", "pass"),
    "W_hc": (
        "w.W_hc.gradient(h_rows[rows], c, dw.W_hc, add=True)",
        "w.W_hc.gradient(0.5 * h_rows[rows], c, dw.W_hc, add=True)",
    ),
}

_LSTM: Changes = {
    "route output": ("add_o(o)", "pass"),
    "route input": ("multiply_i(i)", "dh_next[:] = 0.0"),
    "route forget": ("add_f(f)", "pass"),
    "route candidate": ("add_g(g)", "pass"),
    "route direct": ("dc *= f  # route direct", "dc *= 0.0  #"),
    "through the cell": ("dc += u", "pass"),
    "1 - u^2 without 1 -": ("np.subtract(1.0, u, out=u)", "pass"),
    "dc without o": ("u *= o", "pass"),
    "do without u": ("np.multiply(dh_next, u, out=do)", "do[:] = dh_next"),
    "di without g": ("np.multiply(dc, g, out=di)", "di[:] = dc"),
    "df of this step's cell": (
        "for dh_t, (_, c_prev, _, _, u",
        "for dh_t, (_, _, _, c_prev, u",
    ),
    "dg without i": ("g *= i", "pass"),
    "1 - g^2 without 1 -": ("np.subtract(1.0, g, out=g)", "pass"),
    "a (1 - a) without 1 - a": ("np.subtract(1.0, ifo, out=ifo)", "ifo[:] = 1.0"),
    "a (1 - a) without a": ("difo *= ifo", "pass"),
    "weights from the wrong state": ("h_prevs, _ = cache.before", "h_prevs = cache.h[1:]"),
    "gradient of the last state": (
        "dh_next, dc = np.array(parts, cache.h.dtype)",
        "dh_next, dc = np.zeros_like(parts, cache.h.dtype)",
    ),
    "gradient from above": (
        "dh_next += dh_t",
        "dh_next += dh_t * (c_prev is not cache.steps[0][1])",
    ),
}

_RNN: Changes = {
    "the only route": ("multiply_a(a)", "dh_next[:] = 0.0"),
    "1 - h^2 without 1 -": ("np.subtract(1.0, a, out=a)", "pass"),
    "1 - h^2 without the square": ("np.multiply(h, h, out=a)", "a[:] = h"),
    "weights from the wrong state": ("dw.W_h, cache.before", "dw.W_h, cache.states[:, 1:]"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
    "gradient from above": ("dh_next += dh_t", "dh_next += 0.5 * dh_t"),
}

_OF_CELLS = {
    "gru": _GRU,
    "gru-after": _AFTER,
    "lstm": _LSTM,
    "rnn": _RNN,
}
