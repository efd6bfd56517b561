"""``grucli gradcheck``."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import refusal, write
from tests.conftest import TINY, Grucli
from tests.texts import prose


def test_gradcheck_needs_no_arguments(grucli: Grucli) -> None:
    result = grucli("gradcheck")
    assert result.code == 0
    assert "layer2.W_hz" in result.out
    assert result.out.startswith("all gradients are right\n")


@pytest.mark.parametrize("brief", [False, True])
def test_its_rows_fit_60_columns_and_the_verdict_is_on_the_screen(
    grucli: Grucli, monkeypatch: pytest.MonkeyPatch, brief: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    lines = grucli("gradcheck", *["--brief"] * brief).out.splitlines()
    assert max(map(len, lines)) <= 60
    assert "all gradients are right" in lines[-23:]
    assert any(line.split()[-2:] == ["error", "allowed"] for line in lines) != brief
    rows = [line for line in lines if line.startswith("  layer")]
    assert {len(row) for row in rows} == (set() if brief else {59})


def test_gradcheck_of_another_model_as_json(grucli: Grucli) -> None:
    result = grucli("gradcheck", "--set=model.layers=1", "--set=model.hidden=20", "--json")
    answer = json.loads(result.out)
    assert answer["passed"]
    assert answer["worst"] <= 1e-6
    assert all("layer2" not in check["array"] for check in answer["checks"])


def test_gradcheck_of_trained_weights(grucli: Grucli, trained: Path) -> None:
    for path in (trained, max((trained / "checkpoints").glob("*.npz"))):
        result = grucli("gradcheck", path)
        assert result.code == 0, result.out
        assert "H=12" in result.out


def test_gradcheck_fails_with_exit_code_1(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    from grucli.nn import model

    original = model.project_backward

    def wrong(W_x, x, da, dw, *more):  # type: ignore[no-untyped-def]
        original(W_x, x, da, dw, *more)
        dw.W_x[0] *= 1.001

    monkeypatch.setattr(model, "project_backward", wrong)
    result = grucli("gradcheck")
    assert result.code == 1
    assert "WRONG" in result.out


def test_a_gradient_that_is_broken_on_purpose_is_found(grucli: Grucli) -> None:
    result = grucli("gradcheck", "--break", "route-2-update", "--brief")
    assert result.code == 1
    lines = result.out.splitlines()
    right = "dh_t * (1 - z_t) + dz~_t W_hz^T + (dn~_t W_hn^T) * r_t + dr~_t W_hr^T"
    assert lines[:7] == [
        "a mistake: route 2, update",
        "  No gradient goes through the update gate.",
        f"  right: dh_{{t-1}} = {right}",
        f"  wrong: dh_{{t-1}} = {right.replace('dz~_t W_hz^T + ', '')}",
        "  in grucli.nn.cells.gru, add_z(z)",
        "  becomes pass",
        "",
    ]
    assert "of 57 gradients (layer1.W_xz, " in lines[7]
    assert "V characters in the vocabulary, H units" in result.out
    right = grucli("gradcheck", "--brief")
    assert (right.code, right.out.splitlines()[0]) == (0, "all gradients are right")
    compiled = "compiled" in right.out
    assert len(right.out.splitlines()) == 10 + 4 * compiled


def test_a_mistake_that_does_not_apply_is_refused(grucli: Grucli) -> None:
    for name in ("b-r", "b-n"):
        result = grucli("gradcheck", "--set=model.cell=rnn", "--break", name)
        assert (result.code, result.out) == (2, "")
        assert f"there is no mistake {name!r} for the cell rnn" in result.err
    for name in ("b", "b-of-a-higher-layer"):
        assert grucli("gradcheck", "--set=model.cell=rnn", "--break", name, "--brief").code == 1
    without = grucli("gradcheck", "--set=model.dropout=0", "--break", "dropout")
    assert (without.code, without.out) == (2, "")
    assert "no check sees this mistake in this model" in without.err


def test_mistakes_are_listed_by_cell(grucli: Grucli) -> None:
    assert (
        "route-forget"
        in grucli("gradcheck", "--break", "list", "--set", "model.cell=lstm").out.splitlines()
    )
    result = grucli("gradcheck", "--break", "route-5")
    assert result.code == 2
    assert "there is no mistake 'route-5' for the cell gru; there are:" in result.err
    assert "route-1-direct" in result.err
    slugs = grucli("gradcheck", "--break", "list").out.splitlines()[::2]
    assert len(slugs) == len(set(slugs)) > 20
    assert "route-4-reset" in slugs


def test_gradcheck_of_a_checkpoint_without_its_run(grucli: Grucli, trained: Path) -> None:
    write("lost.npz", max((trained / "checkpoints").glob("*.npz")).read_bytes())
    assert "is outside its run directory" in refusal(grucli, "gradcheck", "lost.npz")
    for option in (["--set", "model.layers=1"], ["--break", "route-1-direct"]):
        assert f"{option[0]} is for the small model; leave it out, or name no run" in refusal(
            grucli, "gradcheck", "lost.npz", *option
        )
    assert "unknown key model.size" in refusal(grucli, "gradcheck", "--set", "model.size=1")


def test_gradcheck_wants_the_runs_own_text_or_one_named(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY).out.strip()
    text_file.write_text(prose(3000, seed=8), encoding="utf-8")
    result = grucli("gradcheck", run)
    assert result.code == 2
    assert "has changed since training; name a text" in result.err
    assert grucli("gradcheck", run, "--text", text_file).code == 0
    assert "--text is for a run or a checkpoint" in grucli("gradcheck", "--text", text_file).err
    assert "has no effect on a gradient check" in grucli("gradcheck", "--set", "optim.lr=1").err
