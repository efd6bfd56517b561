"""The cells of the documents: one file outside of the package is a cell everywhere."""

import re
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.analysis.gradient_routes import look_back
from grucli.nn.cells import CELLS, in_words
from grucli.nn.cells.from_file import load_cell
from grucli.nn.gradcheck import check_all, check_model, toy
from tests.conftest import TINY, Grucli
from tests.sweeps.helpers import TINY as TRIAL
from tests.sweeps.helpers import write_file

DOCS = Path(__file__).parents[2] / "docs"


def source(page: str = "adding-a-cell.md") -> str:
    """The file with the cell of a page."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.M | re.S)
    return next(block for block in blocks if "(Cell):" in block)


@pytest.fixture
def file(tmp_path: Path, forgets_cells: None) -> Path:
    path = tmp_path / "mgu.py"
    path.write_text(source(), encoding="utf-8")
    return path


def test_its_gradients_are_right_and_its_routes_add_up(file: Path) -> None:
    load_cell(file)
    assert all(row.passed for _, row in check_all(hidden=5, layers=2, dropout=0.25, cell="mgu"))
    model, _ = toy(V=7, H=5, L=1, T=2, B=2, dropout=0.0, seed=0, cell="mgu")
    past = look_back(model, np.random.default_rng(0).integers(0, 7, (12, 3)), 8)
    *_, last = past.gradients()
    np.testing.assert_allclose(last, past.by_backward, rtol=1e-9, atol=1e-15)


def test_a_wrong_backward_pass_and_a_missing_route_are_found(grucli: Grucli, file: Path) -> None:
    right = source()
    file.write_text(right.replace("dh_next += s.f @ W_hf_T", "pass"), encoding="utf-8")
    wrong = grucli("gradcheck", "--cell-file", file, "--brief")
    assert wrong.code == 1
    assert wrong.out.startswith("WRONG: ")
    assert grucli("routes", "--cell-file", file, "--positions", 4).code == 1
    file.write_text(right.replace('        Route("gate", "h", "h", gate),\n', ""), "utf-8")
    assert grucli("gradcheck", "--cell-file", file).code == 0
    assert "WRONG: the sum" in grucli("routes", "--cell-file", file, "--positions", 4).out


OTHERS = {  # than tanh: the function in place, and its derivative by its value
    "relu": ("np.maximum(n, 0, out=n)", "(s.n > 0)"),
    "softplus": ("np.logaddexp(0, n, out=n)", "(1 - np.exp(-s.n))"),
    "softsign": ("np.divide(n, 1 + np.where(n < 0, -n, n), out=n)", "(1 - np.abs(s.n)) ** 2"),
}


@pytest.mark.parametrize("function", OTHERS)
def test_other_functions_than_tanh_can_be_checked(
    grucli: Grucli, file: Path, function: str
) -> None:
    value, slope = OTHERS[function]
    right = source().replace("np.tanh(n, out=n)", value).replace("(1 - s.n**2)", slope)
    file.write_text(right, "utf-8")
    for words in ((), ("--products", "numpy")):
        told = grucli("gradcheck", "--cell-file", file, "--brief", *words)
        assert (told.code, told.err) == (0, ""), told.out
    file.write_text(right.replace("dh_next += dfh * s.f", "pass"), "utf-8")
    told = grucli("gradcheck", "--cell-file", file, "--brief")
    assert (told.code, told.out.partition(":")[0]) == (1, "WRONG"), told.err


def test_differences_of_a_large_loss_are_not_called_mistakes(file: Path) -> None:
    value, slope = OTHERS["softplus"]
    right = source().replace("np.tanh(n, out=n)", value).replace("(1 - s.n**2)", slope)
    file.write_text(right, "utf-8")
    load_cell(file)
    model, window = toy(V=7, H=5, L=2, T=12, B=3, dropout=0.0, seed=0, cell="mgu")
    model.params.flat *= 3
    rows = list(check_model(model, window, np.random.default_rng(0), 24))
    assert [row for row in rows if not row.passed] == []


def test_an_error_in_its_code_is_a_message_with_the_line(grucli: Grucli, file: Path) -> None:
    file.write_text(source().replace("dh_next * s.f *", "dh_next @ s.f *"), encoding="utf-8")
    stopped = grucli("gradcheck", "--cell-file", file)
    line = 1 + source().partition("dh_next * s.f *")[0].count("\n")
    assert (stopped.code, stopped.out) == (2, "")
    assert f"mgu.py, line {line}, in backward: ValueError: matmul" in " ".join(stopped.err.split())


def test_figures_call_it_by_the_name_of_its_class(file: Path) -> None:
    load_cell(file)
    words = ["GRU", "GRU, reset after", "LSTM", "RNN", "MGU"]
    assert [*map(in_words, ("gru", "gru-after", "lstm", "rnn", "mgu"))] == words


def test_cells_are_compared_with_it_without_naming_them(
    grucli: Grucli, text_file: Path, file: Path
) -> None:
    own = ("--cell-file", file)
    told = grucli("gradflow", "--text", text_file, "--hidden", 4, "--distance", 4, *own)
    cells = re.findall(r"^(\w+), 4 units", told.out, re.M)
    assert list(dict.fromkeys(cells)) == ["RNN", "LSTM", "GRU", "MGU"]
    told = grucli("compare", text_file, "--steps", 2, *TINY, *own)
    assert {line.split()[0] for line in told.out.splitlines()[1:5]} == {"GRU", "LSTM", "RNN", "MGU"}


def test_it_is_trained_sampled_evaluated_resumed_and_looked_into(
    grucli: Grucli, text_file: Path, file: Path
) -> None:
    own = ("--cell-file", file)
    options = (*TINY, "--set", "train.workers=2", "--set", "train.batch=32")
    trained = grucli("train", text_file, *own, *options, "--steps", 4)
    assert trained.code == 0, trained.err
    run = trained.out.strip()
    kept = Path(run, "cell.py")
    assert kept.read_text("utf-8") == source()
    assert f"grucli sample {run} --cell-file {kept}" in trained.err
    del CELLS["mgu"]
    kept.write_text('open("ran", "w")\n', encoding="utf-8")
    for command in (("sample", run), ("eval", run, text_file), ("train", "--resume", run)):
        refused = grucli(*command)
        assert (refused.code, refused.out) == (2, "")
        assert "cell is 'mgu', which a file of its own defines" in " ".join(refused.err.split())
    assert not Path("ran").exists(), "code of a run was run, though nobody asked for it"
    assert grucli("sample", run, "--length", 9, *own).code == 0
    assert grucli("eval", run, text_file, *own).code == 0
    assert grucli("gradcheck", run, *own).code == 0
    assert "gate > direct" in grucli("routes", run, "--distance", 5, *own).out
    assert grucli("train", "--resume", run, "--steps", 6, *own).code == 0


def test_its_export_is_imported_with_its_file(grucli: Grucli, text_file: Path, file: Path) -> None:
    own = ("--cell-file", file)
    run = grucli("train", text_file, *own, *TINY, "--steps", 4, "-q").out.strip()
    grucli("export", run, *own, "--to", "hub", "-o", "hub", "--license", "mit")
    (words,) = re.findall(r"^grucli (import .*)$", Path("hub/README.md").read_text("utf-8"), re.M)
    assert words == "import model.safetensors --name hub --cell-file cell.py"
    assert Path("hub/cell.py").read_text("utf-8") == source()
    assert "`cell.py` is a program" in Path("hub/README.md").read_text("utf-8")
    sampled = grucli("sample", run, *own, "--length", 20, "--seed", 1).out
    del CELLS["mgu"]
    made = ("import", "hub/model.safetensors", "--cell-file", "hub/cell.py")
    imported = grucli(*made).out.strip()
    assert grucli("sample", imported, *own, "--length", 20, "--seed", 1).out == sampled


def test_runs_whose_units_are_not_apart_are_not_merged(
    grucli: Grucli, text_file: Path, file: Path
) -> None:
    unit = "f += h_prev @ W_hf"
    shared = source().replace(unit, f"{unit} + h_prev.mean(axis=-1, keepdims=True)")
    assert shared != source()
    for text, code in ((source(), 0), (shared, 2)):
        file.write_text(text, "utf-8")
        own = ("--cell-file", file)
        runs = [
            grucli("train", text_file, *own, *TINY, "--steps", 4, "--seed", seed, "-q").out.strip()
            for seed in (0, 1)
        ]
        merged = grucli("merge", *runs, *own)
        assert merged.code == code, merged.err
    assert "runs of the cell mgu cannot be merged" in merged.err


def test_a_study_trains_it_and_keeps_its_file(grucli: Grucli, text_file: Path, file: Path) -> None:
    asked, own = ("sweep", write_file({"sweep.trials": 2}), text_file), ("--cell-file", file)
    done = grucli(*asked, *own)
    assert done.code == 0, done.err
    assert f"grucli sweep --show runs/s --cell-file {file}\n" in done.err
    for number in (0, 1):
        assert Path(f"runs/s/trial-000{number}/cell.py").read_text("utf-8") == source()
    assert "cell: mgu\n" in Path("runs/s/best.yaml").read_text("utf-8")
    more = ("sweep", write_file({"sweep.trials": 3}), text_file)
    assert "trial 2 of 3: " in grucli(*more, *own).err
    file.write_text(source().replace("1 - s.f", "2 - s.f"), "utf-8")
    other = grucli(*more, *own)
    assert (other.code, other.out) == (2, "")
    assert "the file of the cell mgu is another one; name that of the study" in other.err
    resumed = ("train", "--resume", "runs/s/trial-0000", "--steps", 30, "-q")
    assert grucli(*resumed, "--cell-file", "runs/s/trial-0000/cell.py").code == 0
    del CELLS["mgu"]
    without = grucli(*more)
    assert without.code == 2
    assert "the file of the cell mgu is missing; name that of the study" in without.err
    shown = grucli("sweep", "--show", "s")
    assert (shown.code, shown.out.count("done")) == (0, 3)
    assert "must be 'gru' or 'lstm' or 'rnn', not 'mgu'; --cell-file reads one" in shown.err


def test_a_study_compares_it_with_others(grucli: Grucli, text_file: Path, file: Path) -> None:
    cells = {"model.cell": {"choice": ["rnn", "mgu"]}, "optim.lr": 0.01, "sweep.sampler": "grid"}
    asked = ("sweep", write_file({**cells, "sweep.trials": 2}), text_file)
    assert "--cell-file reads one of your own" in grucli(*asked).err
    done = grucli(*asked, "--cell-file", file)
    assert done.code == 0, done.err
    begun = re.findall(r"^trial \d of 2: model.cell (\w+)$", done.err, re.M)
    assert sorted(begun) == ["mgu", "rnn"]


def test_a_script_sweeps_over_it(text_file: Path, file: Path) -> None:
    settings = {**TRIAL, "model.cell": {"choice": [load_cell(file)]}, "sweep.trials": 1}
    done = library.sweep(text_file, settings=settings)
    assert done.best is not None
    assert done.best.values == {"model.cell": "mgu"}


def test_a_cell_without_recurrent_weights(
    grucli: Grucli, text_file: Path, tmp_path: Path, forgets_cells: None
) -> None:
    file = tmp_path / "mingru.py"
    file.write_text(source("minimal-gru.md"), encoding="utf-8")
    load_cell(file)
    checks = [row for _, row in check_all(hidden=5, layers=2, dropout=0.25, cell="mingru")]
    assert all(row.passed for row in checks)
    assert not any("W_h" in row.name and "W_hc" not in row.name for row in checks)
    model, _ = toy(V=7, H=5, L=1, T=2, B=2, dropout=0.0, seed=0, cell="mingru")
    past = look_back(model, np.random.default_rng(0).integers(0, 7, (12, 3)), 8)
    *_, last = past.gradients()
    np.testing.assert_allclose(last, past.by_backward, rtol=1e-9, atol=1e-15)

    own = ("--cell-file", file)
    trained = grucli("train", text_file, *own, *TINY, "--set", "model.layers=2", "--steps", 4)
    assert trained.code == 0, trained.err
    one = grucli("sample", trained.out.strip(), "--length", 30, "--seed", 5, *own)
    many = grucli("sample", trained.out.strip(), "--length", 30, "--seed", 5, "--count", 3, *own)
    assert (one.code, many.code) == (0, 0)
    assert many.out.startswith(one.out.rstrip("\n")), "one row and several give the same text"
    assert "direct > direct" in grucli("routes", trained.out.strip(), *own).out
