from pathlib import Path

from tests.cli.helpers import refusal
from tests.conftest import Grucli


def test_an_export_becomes_a_run_that_all_commands_take(
    grucli: Grucli, trained: Path, text_file: Path
) -> None:
    grucli("export", trained, "--to", "safetensors", "-o", "m.safetensors")
    result = grucli("import", "m.safetensors", "--name", "mine")
    assert result.code == 0, result.err
    run = result.out.strip()
    assert "imported" in result.err
    assert (
        grucli("sample", "mine", "-n", 50, "--seed", 1).out
        == grucli("sample", trained, "-n", 50, "--seed", 1).out
    )
    assert grucli("eval", run, text_file).out == grucli("eval", trained, text_file).out
    for command in ("gradcheck", "routes"):
        words = ["--brief"] if command == "gradcheck" else ["--positions", 4, "-k", 2]
        done = grucli(command, run, "--text", text_file, *words)
        assert done.code == 0, done.err
    assert grucli("page", run).code == 0
    assert grucli("report", run).code == 0
    assert "imported" in grucli("runs").out
    assert "--init-from" in grucli("train", "--resume", run).err


def test_what_is_no_model_is_refused(grucli: Grucli) -> None:
    Path("m").write_text("no model")
    assert "m: cannot be imported: it is cut short, or not a file of" in refusal(
        grucli, "import", "m"
    )
    assert "none: cannot be read: No such file" in refusal(grucli, "import", "none")
