"""State dicts and their module as PyTorch computes them."""

import io
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grucli
from grucli.errors import UsageError
from grucli.exchange import torch_files
from tests.conftest import snapshot
from tests.exchange.models import CELLS, VOCABULARIES, log_probs, make_run, text_of

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def module_of(path: Path) -> Any:
    spec = spec_from_file_location("exported", path.with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(path)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["text", "odd", "lines"])
def test_the_module_computes_what_this_program_computes(cell: str, layers: int, kind: str) -> None:
    run = make_run(cell, layers, kind)
    path = grucli.export(run.path, "torch").path
    loaded, (x, targets, own) = module_of(path), text_of(run, 150)
    ids = torch.from_numpy(x)
    with torch.no_grad():
        logits, _ = loaded(ids)
        np.testing.assert_allclose(log_probs(logits, targets), own, atol=5e-6)
        half, state = loaded(ids[:70])
        rest, _ = loaded(ids[70:], state)
        np.testing.assert_allclose(torch.cat([half, rest]), logits, atol=5e-6)
        model = run.lm.model.astype(np.float64)
        exact, *_ = model.score(x, targets, model.zero_state(1), model.workspace(150, 1))
        np.testing.assert_allclose(log_probs(loaded.double()(ids)[0], targets), exact, atol=1e-12)


@pytest.mark.parametrize("kind", VOCABULARIES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_round_trip_gives_the_same_bytes(cell: str, kind: str) -> None:
    first = grucli.export(make_run(cell, 2, kind).path, "torch")
    again = grucli.import_model(first.path)
    second = grucli.export(again.path, "torch")
    assert [path.suffix for path in first.files] == [".pt", ".py", ".json"]
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_file_holds_tensors_alone() -> None:
    path = grucli.export(make_run("lstm").path, "torch").path
    tensors = torch.load(path, weights_only=True)
    lstm = torch.nn.LSTM(57, 9)
    lstm.load_state_dict(
        {key.removeprefix("recurrent."): one for key, one in tensors.items() if "recurrent" in key}
    )


class Theirs(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, layer: Any, V: int, E: int, H: int, **options: Any) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(V, E)
        self.rnn = layer(E, H, **options)
        self.fc = torch.nn.Linear(H, V)

    def forward(self, ids: Any) -> Any:
        return self.fc(self.rnn(self.embedding(ids))[0])


LAYERS = [torch.nn.GRU, torch.nn.LSTM, torch.nn.RNN]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bias": False}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_of_others_is_computed_as_they_compute_it(
    layer: Any, options: Any, dtype: Any
) -> None:
    torch.manual_seed(1)
    theirs = Theirs(layer, 57, 6, 9, **options).to(dtype)
    torch.save({"model_state_dict": theirs.state_dict(), "epoch": 3}, "theirs.pt")
    Path("v.txt").write_bytes("".join(VOCABULARIES["text"]).encode())
    run = grucli.import_model("theirs.pt", vocabulary="v.txt")
    x, targets, own = text_of(run, 50)
    with torch.no_grad():
        logits = theirs.to(torch.float64)(torch.from_numpy(x))
    np.testing.assert_allclose(log_probs(logits, targets), own, atol=1e-5)


def test_parameters_are_read_as_a_state_dict_is() -> None:
    theirs, symbols = Theirs(torch.nn.GRU, 57, 6, 9), "".join(VOCABULARIES["text"])
    Path("v.txt").write_bytes(symbols.encode())
    torch.save(dict(theirs.named_parameters()), "p.pt")
    Path("p.json").mkdir()  # which is not of this program
    torch.save(theirs.state_dict(), "s.pt")
    runs = [grucli.import_model(f"{name}.pt", vocabulary="v.txt") for name in "ps"]
    assert np.array_equal(*(run.lm.model.params.flat for run in runs))


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self) -> Any:
        return open, ("owned", "w")


HOSTILE: list[tuple[Any, str]] = [
    (Bomb(), "PyTorch does not read it"),
    ({"a": Bomb()}, "PyTorch does not read it"),
    ([1, 2], "it is not a state dict"),
    ({"a": "text"}, "it is not a state dict"),
    ({"a": torch.zeros(3, dtype=torch.int64)}, "a is not an array of real numbers"),
    ({"a": torch.zeros(1).expand(10**6, 10**6)}, "its arrays claim more numbers than the file"),
    ({"a": torch.eye(3).to_sparse()}, "a is not an array of real numbers"),
    ({"a": torch.zeros(3)}, "no recurrent layer"),
    (torch.nn.GRU(3, 4).state_dict(), "must have a linear layer"),
    (torch.nn.GRU(3, 4, bidirectional=True).state_dict(), "reads a text from both ends"),
    (torch.nn.LSTM(3, 4, proj_size=2).state_dict(), "projection"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("value", "said"), HOSTILE)
def test_a_hostile_file_is_one_message(value: Any, said: str) -> None:
    Path("m.pt").write_bytes(saved(value))
    before = snapshot(Path())
    with pytest.raises(UsageError) as caught:
        grucli.import_model("m.pt")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert snapshot(Path()) == before


def test_what_stands_beside_a_file_must_fit_it() -> None:
    path = grucli.export(make_run("gru-after").path, "torch").path
    beside = path.with_suffix(".json")
    told = json.loads(beside.read_text())
    told["meta"]["settings"]["model"]["reset"] = "before"
    beside.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="b_u is not expected"):
        grucli.import_model(path)
    for other in ("{}", "[", json.dumps(VOCABULARIES["text"])):
        beside.write_text(other)
        with pytest.raises(
            UsageError, match=r"vocabulary; .*; an export of grucli needs its \.json"
        ):
            grucli.import_model(path)
    assert grucli.import_model(path, vocabulary=beside).status == "imported"


def test_without_torch_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"torch is not installed: .*\.\[torch\]"):
        grucli.export(run.path, "torch")


def test_the_reason_is_said_why_a_package_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: str) -> None:
        raise ImportError("libmkl.so: cannot open shared object file")

    monkeypatch.setattr("grucli.exchange.comparison.import_module", broken)
    with pytest.raises(UsageError, match=r"torch cannot be loaded \(libmkl\.so: .*\[torch\]"):
        grucli.export(make_run().path, "torch")


@pytest.mark.parametrize("name", ['a"""b', "a\\", "\u4f60\u2028 $x"])
def test_a_name_cannot_change_the_module(name: str) -> None:
    path = grucli.export(make_run().path, "torch", f"{name}.pt").path
    assert module_of(path).vocabulary == VOCABULARIES["text"]


@pytest.mark.parametrize("cell", CELLS)
def test_the_module_is_short(cell: str) -> None:
    assert len(torch_files.module(cell, "m").splitlines()) <= 90
