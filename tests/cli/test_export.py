from pathlib import Path

import pytest

import grucli
from grucli.exchange import export as exports
from grucli.exchange.comparison import Compared
from grucli.exchange.export import Export
from tests.cli.helpers import posix, refusal, start
from tests.conftest import Grucli


def test_the_answer_is_the_path(grucli: Grucli, run: Path) -> None:
    result = grucli("export", run, "--to", "safetensors")
    assert result == (0, "run/model.safetensors\n", "")
    assert "this file exists" in refusal(grucli, "export", run, "--to", "safetensors")
    assert grucli("export", run, "--to", "csv", "-o", "wide.csv", "--force").out == "wide.csv\n"


def test_a_folder_for_the_hub_comes_with_the_command_that_would_upload_it(
    grucli: Grucli, run: Path
) -> None:
    result = grucli("export", run, "--to", "hub", "-o", "my model", "--license", "mit")
    assert result.out == "my model\n"
    assert "nothing is uploaded" in result.err
    assert "hf upload NAME/MODEL 'my model'" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "gguf"), "for '--to': 'gguf' is not one of"),
        ((), "missing option '--to'"),
        (("--to", "hub"), "--license must name the licence"),
        (("--to", "csv", "--license", "mit"), "--license is for --to hub"),
        (("--to", "csv", "--weights", "int8"), "--weights is for --to onnx"),
    ],
)
def test_wrong_options_are_refused(
    grucli: Grucli, trained: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in refusal(grucli, "export", trained, *words)


def test_a_dash_is_standard_output(grucli: Grucli, run: Path) -> None:
    made = grucli("export", run, "--to", "csv").out.strip()
    assert grucli("export", run, "--to", "csv", "-o", "-").out == Path(made).read_text("utf-8")
    assert "more than one file" in grucli("export", run, "--to", "torch", "-o", "-").err
    assert not Path("-").exists()


def test_what_was_compared_is_said_beside_standard_output(
    grucli: Grucli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run / "model.onnx"
    made.write_bytes(b"model")
    compared = Compared(symbols=20_000, difference=1e-6, loss=1.5, own_loss=1.4)
    monkeypatch.setattr(exports, "export", lambda *_, **__: Export(made, (made,), compared))
    done = grucli("export", run, "--to", "onnx", "--weights", "int8", "-o", "-")
    assert done.out == "model"
    assert "by at most 1.0e-06 nats" in done.err
    assert "loss     1.50000 nats per symbol, in float32 1.40000" in done.err


@posix
def test_a_single_file_can_go_to_standard_output(trained: Path) -> None:
    process = start("export", trained, "--to", "csv", "-o", "/dev/stdout")
    out, _ = process.communicate()
    assert out == grucli.export(trained, "csv", "wide.csv").path.read_bytes()
