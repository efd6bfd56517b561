"""Mistakes in the code that trains, each of which the check of one training step must see.

``python -m tests.faults.gradients`` trains a short run of full size (256 units, 64 streams, two
processes, all masks), makes each mistake in a copy of the package, and checks the run with it.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copytree
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "model.hidden": 256,
    "model.layers": 2,
    "model.dropout": 0.3,
    "model.weight_dropout": 0.2,
    "train.window": 32,
    "train.workers": 2,
    "sample.length": 0,
}


class Mutation(NamedTuple):
    """A mistake: what is wrong, the module, a place in its source that occurs once, and the wrong
    text for it; and the library whose products it concerns."""

    what: str
    module: str
    right: str
    wrong: str
    products: str = "numpy"


PACKED, MATMUL, ONEDNN = "nn/packed.py", "nn/matmul.py", "nn/onednn_matrix.py"
SHARDS, MODEL, PROJECTION = "training/processes.py", "nn/model.py", "nn/input_projection.py"
FUNCTIONAL, GRU = "nn/functional.py", "nn/cells/gru.py"

PACKING = [
    Mutation(
        "blocks in reverse order",
        MATMUL,
        "self.blocks[:] = source",
        "self.blocks[:] = source[..., ::-1, :, :]",
    ),
    Mutation(
        "transposed blocks in reverse order",
        MATMUL,
        "copy_transposed(source, self.blocks)",
        "copy_transposed(source, self.blocks[..., ::-1, :, :])",
    ),
    Mutation(
        "rows of W_hc^T in reverse order",
        PACKED,
        "array.swapaxes(1, 2) if transposed else array, copy)",
        "array.swapaxes(1, 2)[:, :: 1 - 2 * (name == OUTPUT)] if transposed else array, copy)",
    ),
    Mutation(
        "W_h of the first layer for all layers",
        PACKED,
        "matrix = self._matrices.get(name)",
        'matrix = self._matrices.get("layer1.W_h" if name.endswith(".W_h") else name)',
    ),
    Mutation(
        "strips of a transposed matrix in reverse order",
        MATMUL,
        "out=blocks(out[..., :whole], STRIP))",
        "out=blocks(out[..., :whole], STRIP)[..., ::-1, :, :])",
    ),
    Mutation("packed weights of the step before", SHARDS, "self.own.packed.update()", "pass"),
    Mutation(
        "gates packed in reverse order",
        ONEDNN,
        "zip(matrices, self._memories, strict=True)",
        "zip(matrices[::-1], self._memories, strict=True)",
        "onednn",
    ),
    Mutation(
        "the first gates instead of those asked for",
        ONEDNN,
        "self.buffers[start:stop]",
        "self.buffers[: stop - start]",
        "onednn",
    ),
    Mutation(
        "recurrent matrices not transposed",
        PACKED,
        "array.swapaxes(1, 2) if transposed else array, copy)",
        'array.swapaxes(1, 2) if transposed and not name.endswith(".W_h") else array, copy)',
        "onednn",
    ),
    Mutation(
        "the first gate packed for all gates",
        PACKED,
        "copy.pack(source)",
        "copy.pack(source[:1].repeat(len(source), 0))",
        "onednn",
    ),
]
PRODUCTS = [
    Mutation(
        "dW from rows in reverse order",
        MATMUL,
        "np.matmul(rows.T, gradient, out=out)",
        "np.matmul(rows[::-1].T, gradient, out=out)",
    ),
    Mutation(
        "dW_hc from the last rows only",
        MATMUL,
        "out += rows.T @ gradient",
        "out[:] = rows.T @ gradient",
    ),
    Mutation(
        "gradient of a state replaced instead of added to",
        MATMUL,
        "np.add(out, scratch, out=out)",
        "out[:] = scratch",
    ),
    Mutation("gates without the recurrent product", GRU, "zr += scratch", "pass"),
    Mutation(
        "a gradient of a state written instead of added",
        ONEDNN,
        "return self.bind(out, add=True)",
        "return self.bind(out)",
        "onednn",
    ),
    Mutation(
        "the first gate's factor for all gates",
        ONEDNN,
        "self.set_x(address(x[gate]))",
        "self.set_x(address(x[0]))",
        "onednn",
    ),
    Mutation(
        "every gradient of weights added to that of the step before",
        ONEDNN,
        "matmul(left, right.value, _plain(K, N), add=add)",
        "matmul(left, right.value, _plain(K, N), add=True)",
        "onednn",
    ),
    Mutation(
        "factors in bfloat16 that are not rounded again",
        ONEDNN,
        "self.set = lambda at: set_address(at) or round_()",
        "self.set = lambda at, done=[]: set_address(at) or "
        "(0 if done else done.append(1) or round_())",
        "onednn",
    ),
    Mutation(
        "the left factor of a gradient at another address",
        ONEDNN,
        "self._left.set(address(rows))",
        "self._left.set(address(rows) + 4)",
        "onednn",
    ),
]
PROCESSES = [
    Mutation(
        "the second process's gradient halved",
        SHARDS,
        "total.flat += gradients.flat",
        "total.flat += 0.5 * gradients.flat",
    ),
    Mutation(
        "the first process's streams for all processes",
        SHARDS,
        "process.begin(task(process.streams))",
        "process.begin(task(self.own.streams))",
    ),
    Mutation(
        "the first streams' states for all processes",
        SHARDS,
        "targets[:, part], state[:, part]",
        "targets[:, part], state[:, : part.stop - part.start]",
    ),
    Mutation(
        "the states of the processes in reverse order",
        SHARDS,
        "np.concatenate(states, axis=1)",
        "np.concatenate(states[::-1], axis=1)",
    ),
    Mutation(
        "the loss of the first process only",
        SHARDS,
        "return sum(losses),",
        "return losses[0],",
    ),
    Mutation(
        "all processes write the first gradient",
        SHARDS,
        "self.gradients[self.number]",
        "self.gradients[0]",
    ),
    Mutation(
        "the gradient of a sum of two batches",
        SHARDS,
        "state[:, part], scale, dropout",
        "state[:, part], scale / 2, dropout",
    ),
    Mutation(
        "a process with other weights",
        SHARDS,
        "self.packed = PackedWeights(model.params, rows, model.backend, flat=packed)",
        "self.packed = PackedWeights(model.params, rows, model.backend, flat=packed); "
        "model.params = "
        "Params(layout, dtype, others[: count(layout)].copy()) if number else model.params",
    ),
]
MASKS = [
    Mutation("recurrent masks not applied to the sum", SHARDS, "mask_(total, masks)", "pass"),
    Mutation(
        "recurrent masks not applied to the weights", SHARDS, "mask_(self.used, masks)", "pass"
    ),
    Mutation(
        "recurrent masks of several steps",
        SHARDS,
        "self.used.flat[:] = self.model.params.flat",
        "pass",
    ),
    Mutation(
        "the first streams' masks for all processes",
        "nn/dropout.py",
        "generator.advance(streams.start * _words(L * T * H))",
        "generator.advance(0)",
    ),
    Mutation(
        "no masks of outputs",
        SHARDS,
        "masks=masks, packed",
        "masks=None, packed",
    ),
    Mutation(
        "the last layer's masks in every backward pass",
        MODEL,
        "workspace.dh[:] *= masks[number]",
        "workspace.dh[:] *= masks[-1]",
    ),
    Mutation(
        "the first layer's masks in every forward pass",
        MODEL,
        "np.multiply(h, masks[number], out",
        "np.multiply(h, masks[0], out",
    ),
]
W_HC = "w.W_hc.gradient(h_rows[rows], c, dw.W_hc, add=True)"
SUMS = [
    Mutation("dW_hc from the first 512 rows", MODEL, W_HC, f"rows.start or {W_HC}"),
    Mutation(
        "db_c of the last 512 rows",
        FUNCTIONAL,
        "db_c += c.sum(axis=0)",
        "db_c[:] = c.sum(axis=0)",
    ),
    Mutation(
        "the loss of the last 512 rows",
        MODEL,
        "loss += self.backend.kernels.softmax_cross_entropy_",
        "loss = self.backend.kernels.softmax_cross_entropy_",
    ),
    Mutation(
        "one group of rows by character", PROJECTION, "for few in groups:", "for few in groups[:1]:"
    ),
    Mutation(
        "each character without its first place",
        PROJECTION,
        "np.matmul(ones[start:end], rows[start - lo : end - lo]",
        "np.matmul(ones[start + 1 : end], rows[start + 1 - lo : end - lo]",
    ),
    Mutation(
        "biases of the first eight steps",
        PROJECTION,
        "a_rows += b[:, None]",
        "a_rows += b[:, None] * (some.start == 0)",
    ),
    Mutation(
        "the gradient of a layer's input from the first eight steps",
        PROJECTION,
        "W_x.T.multiply(_rows(da[:, some]), parts)",
        "W_x.T.multiply(_rows(da[:, : some.stop - some.start]), parts)",
    ),
    Mutation(
        "dW_h without the first step",
        "nn/cells/base.py",
        "W.gradient(as_rows(rows), as_rows(gradient), dW)",
        "W.gradient(as_rows(rows[1:]), as_rows(gradient[1:]), dW)",
    ),
]
MUTATIONS = [
    (kind, one)
    for kind, some in {
        "packing": PACKING,
        "products": PRODUCTS,
        "processes": PROCESSES,
        "masks": MASKS,
        "sums": SUMS,
    }.items()
    for one in some
]
CHECK = """
import sys
from pathlib import Path
from grucli.analysis.gradient_checks import check_training, next_step, precisions
from grucli.run.run import Run
from grucli.threads import limit_blas

if __name__ == "__main__":
    limit_blas(1)
    opened = Run.open(Path(sys.argv[1]))
    step = next_step(opened.checkpoint, opened.splits.train, resumes=True)
    for title, row in check_training(step, precisions(sys.argv[2], step.model.cell)):
        if row.verdict == "WRONG":
            sys.exit(f"{title.partition(':')[0]}: {row.name} {row.compared} {row.error:.1e}")
"""
"""What ``grucli gradcheck RUN --products`` does with a training step, up to the first WRONG."""


def mutated(mutation: Mutation, folder: Path) -> Path:
    """A copy of the package with the mistake, and a script that checks a run with it."""
    copytree(ROOT / "grucli", folder / "grucli")
    path = folder / "grucli" / mutation.module
    source = path.read_text("utf-8")
    assert source.count(mutation.right) == 1, mutation.what
    path.write_text(source.replace(mutation.right, mutation.wrong), "utf-8")
    script = folder / "check.py"
    script.write_text(CHECK, "utf-8")
    return script


def seen(mutation: Mutation, run: Path) -> str:
    """The first wrong row with the mistake; empty if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        script = mutated(mutation, Path(folder))
        command = [sys.executable, str(script), str(run), mutation.products]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = done.stderr.strip().rpartition("\n")[2]
        return (last or f"exit code {done.returncode}") if done.returncode else ""


def main() -> None:
    """Train a run, make each mistake, and print a table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    home = Path(tempfile.mkdtemp())
    text = home / "text.txt"
    grucli = [sys.executable, "-m", "grucli"]
    subprocess.run([*grucli, "corpus", "python-reference", "-o", text], check=True)
    text.write_text(text.read_text("utf-8")[:120_000], "utf-8")
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    train = [*grucli, "train", text, "--steps", "40", "-q", "--runs-dir", home / "runs", *settings]
    run = subprocess.run(train, check=True, capture_output=True, text=True).stdout.strip()
    for library in ("numpy", "onednn"):
        right = Mutation("nothing", MODEL, "class Model:", "class Model:", library)
        print(f"none | {library} | nothing | {seen(right, Path(run)) or 'all right'}", flush=True)
    for kind, one in MUTATIONS:
        first = seen(one, Path(run)) or "NOT SEEN"
        print(f"{kind} | {one.products} | {one.what} | {first}", flush=True)


if __name__ == "__main__":
    main()
