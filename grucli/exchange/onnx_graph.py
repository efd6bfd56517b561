"""A model as an ONNX graph, which scores texts and streams: states are inputs and outputs."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from grucli import __version__
from grucli.exchange.comparison import Compared, compare, needed
from grucli.exchange.description import as_texts, describe
from grucli.exchange.layouts import layer_of
from grucli.nn.cells import CELLS
from grucli.nn.model import Model
from grucli.nn.params import Array, Ids
from grucli.run.run import Run

NODES = {
    "gru": "GRU <hidden_size = {}>",
    "gru-after": "GRU <hidden_size = {}, linear_before_reset = 1>",
    "lstm": "LSTM <hidden_size = {}>",
    "rnn": "RNN <hidden_size = {}>",
}
RESTORED = {  # how float32 weights come from those in the file
    "float16": "{0} = Cast <to = 1> ({0}_stored)",
    "int8": "{0} = DequantizeLinear <axis = 1> ({0}_stored, {0}_scale)",
}
GRAPH = """
<ir_version: 9, opset_import: ["" : 18], producer_name: "grucli", producer_version: "{version}">
grucli (int64[T,B] ids, {before}) => (float[T,B,{V}] logits, {after})
<int64 V = {{{V}}}, float[2] off_on = {{0, 1}}, int64[1] axis_1 = {{1}},
 int64[{L}] one_each = {{{ones}}}>
{{
{restored}
{layers}
scores = MatMul (top, W_hc)
logits = Add (scores, b_c)
}}"""
# The state of a list begins anew before each separator. No node does that within its steps, so one
# step at a time is taken.
SCAN = """
{names}, top = Scan <num_scan_inputs = 1, body = step ({before}, int64[B] ids_t)
 => ({after}, float[B,{H}] top_t) {{
separator = Constant <value = int64 {{{separator}}}> ()
axis_0 = Constant <value = int64[1] {{0}}> ()
of_streams = Constant <value = int64[3] {{1, -1, 1}}> ()
ends = Equal (ids_t, separator)
goes_on = Not (ends)
kept = Cast <to = 1> (goes_on)
mask = Reshape (kept, of_streams)
{masked}
step_ids = Unsqueeze (ids_t, axis_0)
{layers}
top_t = Squeeze (top_of_step, axis_0)
}}> ({states}, ids)"""

Weights = Literal["float32", "float16", "int8"]


def build(model: Model, texts: dict[str, str], weights: Weights = "float32") -> Any:
    """The graph of a model, as ``onnx.ModelProto``, with texts as its metadata."""
    onnx, output = needed("onnx.parser", "onnx"), model.output(model.params)
    matrices, biases = {"W_hc": output.W_hc}, {"b_c": output.b_c}
    for k, w in enumerate(model.layers(model.params), 1):
        W_x, W_h, first, second = layer_of("onnx", model.cell, w)
        matrices |= {f"W_{k}": W_x[None], f"R_{k}": W_h[None]}
        biases[f"B_{k}"] = np.concatenate([first, second])[None]
    restored = [RESTORED[weights].format(name) for name in matrices if weights in RESTORED]
    onnx = needed("onnx", "onnx")
    made = onnx.parser.parse_model(_text(model, "\n".join(restored)))
    stored = [pair for name, W in matrices.items() for pair in _stored(name, W, weights)]
    for name, array in [*stored, *biases.items()]:
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.helper.set_model_props(made, texts)
    onnx.checker.check_model(made, full_check=True)
    return made


def _stored(name: str, W: Array, weights: Weights) -> Iterator[tuple[str, Any]]:
    """A matrix as the file holds it. The outputs of its product are on axis 1."""
    if weights == "float32":
        yield name, W
    elif weights == "float16":
        yield f"{name}_stored", W.astype(np.float16)
    else:
        others = tuple(axis for axis in range(W.ndim) if axis != 1)
        scale = np.maximum(abs(W).max(axis=others, keepdims=True), 1e-30) / W.dtype.type(127)
        yield f"{name}_stored", np.rint(W / scale).astype(np.int8)
        yield f"{name}_scale", scale.ravel()


def _text(model: Model, restored: str) -> str:
    """The graph in the text form of ONNX, without its numbers."""
    states, L, H, V = CELLS[model.cell].STATE, model.L, model.H, model.V

    def typed(suffix: str) -> str:
        return ", ".join(f"float[{L},B,{H}] {state}_{suffix}" for state in states)

    def named(suffix: str) -> str:
        return ", ".join(f"{state}_{suffix}" for state in states)

    if model.separator is None:
        layers = "\n".join(_layers(model, "ids", "0", "T", "top"))
    else:
        layers = SCAN.format(
            names=named("T"),
            before=typed("t"),
            after=typed("u"),
            H=H,
            separator=model.separator,
            masked="\n".join(f"{state}_m = Mul ({state}_t, mask)" for state in states),
            layers="\n".join(_layers(model, "step_ids", "m", "u", "top_of_step")),
            states=named("0"),
        )
    ones = ", ".join("1" * L)
    sizes = {"V": V, "L": L, "ones": ones, "before": typed("0"), "after": typed("T")}
    return GRAPH.format(version=__version__, restored=restored, layers=layers, **sizes)


def _layers(model: Model, ids: str, before: str, after: str, top: str) -> Iterator[str]:
    """The nodes from ids (T, B) and the states before them to the states after them."""
    states, numbers = CELLS[model.cell].STATE, range(1, model.L + 1)
    yield f"x_0 = OneHot ({ids}, V, off_on)"
    for state in states:
        parts = ", ".join(f"{state}_in_{k}" for k in numbers)
        yield f"{parts} = Split <axis = 0> ({state}_{before}, one_each)"
    for k in numbers:
        node, x = NODES[model.cell].format(model.H), top if k == model.L else f"x_{k}"
        initial, last = (", ".join(f"{s}_{way}_{k}" for s in states) for way in ("in", "out"))
        yield f"y_{k}, {last} = {node} (x_{k - 1}, W_{k}, R_{k}, B_{k}, , {initial})"
        yield f"{x} = Squeeze (y_{k}, axis_1)"
    for state in states:
        parts = ", ".join(f"{state}_out_{k}" for k in numbers)
        yield f"{state}_{after} = Concat <axis = 0> ({parts})"


def export(run: Run, weights: Weights) -> tuple[bytes, Compared]:
    """The file, and its comparison as onnxruntime computes it."""
    runtime, model = needed("onnxruntime", "onnx"), run.lm.model
    content = build(model, as_texts(describe(run.checkpoint)), weights).SerializeToString()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def step(x: Ids, state: Any) -> tuple[Array, Any]:
        if state is None:
            state = [model.zero_state(1)[..., : model.H]] * (len(names) - 1)
        logits, *after = session.run(None, dict(zip(names, [x, *state], strict=True)))
        return logits, after

    return content, compare(run, step, rounded=weights != "float32")
