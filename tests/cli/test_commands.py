"""The commands as a person uses them."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import grucli as library
from grucli import __version__, load
from grucli.run.run import Run
from tests.conftest import TINY, Grucli, snapshot
from tests.texts import prose


def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
    """The program as its own process."""
    command = [sys.executable, "-m", "grucli", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **(pipes | options))  # type: ignore[call-overload, no-any-return]


def test_without_a_command_it_shows_help_and_fails(grucli: Grucli) -> None:
    result = grucli()
    assert (result.code, result.out) == (2, "")
    assert result.err == grucli("--help").out
    assert result.err.startswith("Usage: grucli [OPTIONS] COMMAND")


# ---- train


def test_train_prints_the_run_directory_and_says_what_it_does(
    grucli: Grucli, text_file: Path
) -> None:
    result = grucli("train", text_file, "--steps", "20", *TINY)
    assert result.code == 0
    run = Path(result.out.strip())
    assert result.out == f"{run}\n"
    assert run.is_dir()
    for part in [
        "4,000 characters",
        "3,600 to train, 400 to validate",
        "GRU, 1 x 12 units, ",
        "bits per character by the frequencies in the training text",
        "20 steps of 4 x 16 characters",
        "memory ",
        "time     about",
        "step     20  epoch",
        "best validation loss",
        f"grucli sample {run}",
        "The model is as uncertain about each character as",
        f"grucli eval {run} --split val",
        f"grucli train --resume {run} --steps 40",
    ]:
        assert part in result.err, part


def test_quiet_says_nothing(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--steps", "5", "--quiet", *TINY)
    assert result.err == ""
    assert Path(result.out.strip()).is_dir()


def test_a_short_text_shrinks_the_batch_and_says_so(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--steps=2", "--set=model.hidden=4", "--quiet")
    assert "note: the text is short, so each step reads 8 x 32 characters instead of 64 x 128" in (
        result.err
    )


def test_a_dry_run_writes_nothing(grucli: Grucli, text_file: Path) -> None:
    result = grucli("train", text_file, "--dry-run")
    assert (result.code, result.out) == (0, "")
    assert "parameters" in result.err
    assert list(snapshot(Path())) == ["text.txt"]


def test_defaults_suit_the_length_of_the_text_and_give_way(grucli: Grucli, text_file: Path) -> None:
    said = grucli("train", text_file, "--dry-run").err
    assert "chosen   dropout 0.5" in said
    assert "defaults for this text and network; --set changes them" in said
    printed = grucli("train", text_file, "--print-config").out
    assert "dropout: 0.5" in printed
    assert "chosen" not in grucli("train", text_file, "--dry-run", "--quiet").err
    given = grucli("train", text_file, "--dry-run", "--set=model.dropout=0.2", "--steps=7").err
    assert "dropout 0.2" in given
    assert "7 steps" in given


def test_printed_settings_are_accepted_again(grucli: Grucli) -> None:
    printed = grucli("train", "--print-config", "--set", "model.hidden=99", "--minutes", "2").out
    Path("s.yaml").write_text(printed, encoding="utf-8")
    assert grucli("train", "--print-config", "--config", "s.yaml").out == printed
    assert "hidden: 99" in printed


def test_the_files_of_a_run_are_described_and_hold_what_they_say(trained: Path) -> None:
    info = json.loads((trained / "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "done"
    assert info["step"] == 30
    assert info["corpus"]["chars"] == 4000
    assert info["versions"]["grucli"] == __version__
    with (trained / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == (
        [
            "step",
            "epoch",
            "chars",
            "split",
            "loss",
            "bpc",
            "lr",
            "grad_norm",
            "chars_per_s",
            "elapsed_s",
        ]
    )
    assert [int(row["step"]) for row in rows if row["split"] == "val"] == [10, 20, 30]
    best = json.loads((trained / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    assert set(best) == {"file", "step", "loss", "sha256"}
    assert "hidden: 12" in (trained / "config.yaml").read_text(encoding="utf-8")
    assert "train.steps: 30" in (trained / "overrides.yaml").read_text(encoding="utf-8")


def test_a_run_never_reuses_a_directory(grucli: Grucli, text_file: Path) -> None:
    runs = {
        grucli("train", text_file, "--steps=1", "-q", "--name", "a b/c", *TINY).out.strip()
        for _ in range(3)
    }
    assert len(runs) == 3
    assert all("a-b-c" in run for run in runs)


def test_standard_input_can_be_trained_on_and_resumed() -> None:
    text = prose(4000).encode()
    first = start("train", "-", "--steps=10", *TINY, stdin=subprocess.PIPE)
    out, err = first.communicate(text)
    run = out.decode().strip()
    assert first.returncode == 0
    assert f"grucli train - --resume {run}" in err.decode()
    without = start("train", "--resume", run, "--steps=12", stdin=subprocess.DEVNULL)
    _, err = without.communicate()
    assert without.returncode == 2
    assert b"give the same text again" in err
    again = start("train", "-", "--resume", run, "--steps=12", "-q", stdin=subprocess.PIPE)
    out, _ = again.communicate(text)
    assert out.decode().strip() == run


def test_resume_goes_on_from_the_last_checkpoint(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps", "12", "-q", *TINY).out.strip()
    result = grucli("train", "--resume", run, "--steps", "25")
    assert result.code == 0
    assert f"resume   {run} at step 12, best loss so far" in result.err
    assert result.out == f"{run}\n"
    assert json.loads(Path(run, "run.json").read_text(encoding="utf-8"))["step"] == 25


def test_init_from_starts_a_new_run_from_old_weights(
    grucli: Grucli, trained: Path, text_file: Path
) -> None:
    result = grucli("train", text_file, "--init-from", trained, "--steps=1", "-q", *TINY[1:])
    assert result.code == 0
    assert "hidden: 12" in Path(result.out.strip(), "config.yaml").read_text(encoding="utf-8")
    text_file.write_text(prose(2000) + prose(500, seed=5), encoding="utf-8")
    fresh = grucli("train", text_file, "--init-from", trained, "--steps=1", "-q", *TINY[1:])
    assert fresh.code == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(text_file: Path, number: int, code: int) -> None:
    process = start("train", text_file, "--epochs=9999", *TINY)
    assert process.stderr is not None
    seen = b""
    while b"step     10" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    run = out.decode().strip()
    assert "stopping after this step and saving" in err.decode()
    assert f"grucli train --resume {run}" in err.decode()
    info = json.loads(Path(run, "run.json").read_text(encoding="utf-8"))
    assert info["status"] == "interrupted"
    assert info["step"] >= 10


def test_the_same_command_twice_makes_the_same_checkpoint(text_file: Path) -> None:
    hashes = set()
    for _ in range(2):
        process = start("train", text_file, "--steps=12", "-q", *TINY)
        run = process.communicate()[0].decode().strip()
        last = json.loads(Path(run, "checkpoints", "last.json").read_text(encoding="utf-8"))
        hashes.add(last["sha256"])
    assert len(hashes) == 1


# ---- sample


def test_sample_writes_the_text_alone_to_stdout(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "--length", "50", "--seed", "1", "--prompt", "the ")
    assert result.code == 0
    assert result.out.startswith("the ")
    assert len(result.out) == 4 + 50 + 1
    assert result.err == ""
    assert grucli("sample", trained, "-n", "50", "--seed", "1", "-p", "the ").out == result.out
    unseen = grucli("sample", trained, "-n", "50", "--seed", "1", "-p", "the ", "--no-echo")
    assert unseen.out == result.out[4:]


def test_sample_without_a_seed_tells_the_one_it_took(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "--length", "30")
    seed = result.err.split()[1].rstrip(";")
    assert grucli("sample", trained, "--length", "30", "--seed", seed).out == result.out


def test_several_samples_and_a_separator(grucli: Grucli, trained: Path) -> None:
    out = grucli(
        "sample", trained, "-n", "20", "-c", "3", "--seed=1", "--separator", "\\n==\\n"
    ).out
    parts = out.removesuffix("\n").split("\n==\n")
    assert len(parts) == 3
    alone = grucli("sample", trained, "-n", "20", "--seed=1").out.removesuffix("\n")
    assert parts[0] == alone


@pytest.mark.parametrize("options", [[], ["--json"], ["--stop", "e"], ["--no-echo"]])
def test_groups_of_samples_follow_each_other(
    grucli: Grucli, trained: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(options: list[str]) -> object:
        words = ["sample", trained, "-n", 15, "-c", 5, "--seed", 4, "-p", "th", *options]
        out = grucli(*words).out
        return [one["text"] for one in json.loads(out)["samples"]] if "--json" in options else out

    together = text(options)
    monkeypatch.setattr("grucli.sampling.SIDE_BY_SIDE", 2)
    assert text(options) == together


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize(
    "size",
    [["--length", 10**18], ["--count", 10**9], ["--count", 10**9, "--length", 10**9]],
    ids=lambda size: " ".join(map(str, size)),
)
def test_samples_without_end_are_written_as_they_are_made(
    trained: Path, size: list[object]
) -> None:
    process = start("sample", trained, "--seed", 1, *size)
    assert process.stdout is not None
    assert len(process.stdout.read(100_000)) == 100_000
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    process.kill()
    process.communicate()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak) < 300_000  # KiB


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without end")
def test_a_prompt_without_end_is_refused(grucli: Grucli, trained: Path) -> None:
    assert "more than 4 MiB" in grucli("sample", trained, "--prompt-file", "/dev/zero").err


def test_a_stop_string_ends_a_sample(grucli: Grucli, trained: Path) -> None:
    out = grucli("sample", trained, "-n", "400", "--seed=1", "--stop", "e", "-t", "1").out
    assert "e" not in out
    assert len(out) < 400
    newline = grucli("sample", trained, "-n", "400", "--seed=1", "--stop", "\\n", "-t", "1").out
    assert newline.count("\n") == 1


def test_sample_as_json(grucli: Grucli, trained: Path) -> None:
    args = ["sample", trained, "-n", 9, "-c", 2, "--seed", 4, "-p", "th", "--json"]
    answer = json.loads(grucli(*args).out)
    assert (answer["seed"], answer["prompt"]) == (4, "th")
    for sample in answer["samples"]:
        assert "".join(character["char"] for character in sample["characters"]) == sample["text"]
        assert len(sample["text"]) == 9
        assert all(character["log_prob"] < 0 for character in sample["characters"])
    stopped = json.loads(grucli(*args, "--stop", "e", "--stop", " ").out)
    for sample in stopped["samples"]:
        assert len(sample["characters"]) == len(sample["text"])


def test_a_prompt_from_a_file_or_standard_input(grucli: Grucli, trained: Path) -> None:
    prompt = prose(700)
    Path("p.txt").write_text(prompt, encoding="utf-8")
    result = grucli("sample", trained, "-n", "5", "--seed=1", "--prompt-file", "p.txt")
    assert result.out.startswith(prompt)
    process = start(
        "sample", trained, "-n", 5, "--seed=1", "--prompt-file", "-", stdin=subprocess.PIPE
    )
    assert process.communicate(prompt.encode())[0].decode() == result.out


def test_unknown_characters_can_be_skipped(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "-n", "5", "-p", "théXe ", "--unknown", "skip")
    assert result.out.startswith("the ")


def test_a_reader_that_goes_away_ends_it_quietly(trained: Path) -> None:
    process = start("sample", trained, "--length", "200000", "--seed", "1")
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(timeout=30) == 0


def test_text_is_utf8_whatever_the_locale(text_file: Path) -> None:
    text_file.write_text("größe und maß \U0001f600 世界\n" * 60, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    process = start("train", text_file, "--steps=10", *TINY, env=environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    process = start("sample", out.decode().strip(), "-n", 60, "-p", "größe", env=environment)
    assert process.communicate()[0].decode().startswith("größe")


def test_byte_level_from_end_to_end(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    result = grucli("train", "data.bin", "--set=data.level=byte", "--steps=10", *TINY)
    assert result.code == 0, result.err
    assert "5,120 bytes" in result.err
    run = result.out.strip()
    answer = json.loads(grucli("sample", run, "-n", "4", "--json").out)
    assert all(0 <= item["byte"] < 256 for item in answer["samples"][0]["bytes"])
    assert "characters" not in answer["samples"][0]
    assert grucli("eval", run, "data.bin").code == 0


def test_figures_of_a_model_of_bytes_are_per_byte_everywhere(
    grucli: Grucli, text_file: Path, trained: Path
) -> None:
    text_file.write_text(text_file.read_text("utf-8").replace("a", "\u00e4"), "utf-8")
    asked = ["train", text_file, "--set=data.level=byte", "--set=train.window=900", *TINY[:2]]
    result = grucli(*asked, "--set=train.log_every=1", "--steps=20", "--set=train.eval_every=10")
    run = Path(result.out.strip())
    shown = [result.err, (run / "report.html").read_text("utf-8"), repr(Run(run))]
    shown += [Run(run)._repr_html_(), repr(load(run).score("quiet"))]
    for command in (
        ["eval"],
        ["plot"],
        ["plot", "--by", "chars", "-o", "-"],
        ["report", "-o", "-"],
    ):
        done = grucli(command[0], run, *command[1:], *["text.txt"] * (command == ["eval"]))
        assert done.code == 0
        shown.append(done.out)
    for words in shown:
        plain = re.sub(r"<(style|script)>.*?</\1>", "", words, flags=re.DOTALL)
        assert not re.search(r"characters?\b|nats/char|bits/char|chars/s|bpc", plain), plain
        assert "byte" in plain
    for words in ("bpb", "bytes/s", "bits per byte by the frequencies", "nats = "):
        assert words in result.err, words
    answer = json.loads(grucli("eval", run, "text.txt", "--json").out)["total"]
    assert list(answer)[:3] == ["bytes", "nats_per_byte", "bits_per_byte"]
    (row,) = [one for one in json.loads(grucli("runs", "--json").out) if one["run"] == run.name]
    assert (row["level"], row["loss"] is not None) == ("byte", True)
    for command in ("plot", "report"):
        mixed = grucli(command, run, trained, "-o", "-")
        assert (mixed.code, mixed.out) == (2, "")
        assert f"{run} predicts bytes and {trained} predicts characters" in mixed.err


def test_a_sample_of_bytes_has_no_others(text_file: Path) -> None:
    run, _ = start(
        "train", text_file, "-q", "--set=data.level=byte", "--steps=4", *TINY
    ).communicate()
    made = ["sample", run.decode().strip(), "--seed", 1, "-n", 60]
    one, _ = start(*made).communicate()
    assert len(one) == 60
    assert start(*made, "--separator", "").communicate()[0] == one
    two, _ = start(*made, "--separator", "", "-c", 2).communicate()
    assert (two[:60], len(two)) == (one, 120)
    assert start(*made, "-p", "the").communicate()[0].startswith(b"the")


def test_log_probabilities_in_json_are_at_temperature_one(grucli: Grucli, trained: Path) -> None:
    made = ["sample", trained, "-p", "the", "-n", 20, "--seed", 1, "--json"]
    for options in (["-t", 0.3], ["--top-k", 2], ["--top-p", 0.5]):
        (sample,) = json.loads(grucli(*made, *options).out)["samples"]
        scored = library.load(trained).score("the" + sample["text"]).log_probs[3:]
        assert [one["log_prob"] for one in sample["characters"]] == pytest.approx(scored, rel=1e-4)
        said = " ".join(grucli("sample", "--help").out.split())
        assert "the log probability of each character is the model's own, at temperature 1" in said


# ---- eval, gradcheck, corpus, runs


def test_eval_shows_each_file_and_the_total(grucli: Grucli, trained: Path) -> None:
    for number, length in enumerate((500, 3000)):
        Path(f"{number}.txt").write_text(prose(length, seed=7), encoding="utf-8")
    table = grucli("eval", trained, "0.txt", "1.txt").out.splitlines()
    assert table[0].split() == [
        "file", "characters", "nats/char", "bits/char", "perplexity", "accuracy",
    ]  # fmt: skip
    assert [line.split()[:2] for line in table[1:]] == [
        ["0.txt", "499"],
        ["1.txt", "2,999"],
        ["total", "3,498"],
    ]
    answer = json.loads(grucli("eval", trained, "0.txt", "1.txt", "--json").out)
    first, second = answer["files"]
    nats = first["nats_per_char"] * 499 + second["nats_per_char"] * 2999
    assert answer["total"]["nats_per_char"] == pytest.approx(nats / 3498)
    assert second["bits_per_char"] == pytest.approx(second["nats_per_char"] / 0.6931471805599453)


def test_eval_agrees_with_training(grucli: Grucli, trained: Path) -> None:
    text = prose(4000)
    Path("val.txt").write_text(text[3600:], encoding="utf-8")
    best = json.loads((trained / "checkpoints" / "best.json").read_text(encoding="utf-8"))
    answer = json.loads(grucli("eval", trained, "val.txt", "--json").out)
    assert answer["total"]["nats_per_char"] == pytest.approx(best["loss"], rel=1e-5)


def test_eval_of_a_part_of_the_runs_own_corpus(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps=10", "-q", *TINY, "--set=data.test=0.2").out.strip()
    best = json.loads(Path(run, "checkpoints", "best.json").read_text(encoding="utf-8"))
    val = json.loads(grucli("eval", run, "--split", "val", "--json").out)
    assert val["total"]["nats_per_char"] == pytest.approx(best["loss"], rel=1e-5)
    test = json.loads(grucli("eval", run, "--split", "test", "--json").out)
    assert test["total"]["characters"] == 799
    for args in (["--split", "dev"], [], [text_file, "--split", "val"]):
        assert grucli("eval", run, *args).code == 2


def test_eval_can_skip_unknown_characters(grucli: Grucli, trained: Path) -> None:
    Path("odd.txt").write_text("thé éthe", encoding="utf-8")
    result = grucli("eval", trained, "odd.txt", "--unknown", "skip")
    assert [line.split()[-1] for line in result.out.splitlines()] == ["skipped", "2"]
    assert "odd.txt: 2 characters that the model does not know are left out" in result.err
    skipped = grucli("eval", trained, "odd.txt", "--unknown", "skip", "--json")
    floor = grucli("eval", trained, "odd.txt", "--unknown", "floor", "--json")
    assert "2 characters that the model does not know count as half an occurrence" in floor.err
    skipped, floor = (json.loads(result.out)["total"] for result in (skipped, floor))
    assert (skipped["characters"], skipped["skipped"]) == (5, 2)
    assert (floor["characters"], floor["skipped"]) == (7, 0)
    charged = floor["nats_per_char"] * 7 - skipped["nats_per_char"] * 5
    assert charged == pytest.approx(2 * math.log(library.load(trained).counts.sum() / 0.5))


def test_a_prompt_without_its_unknown_characters_is_noticed(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "-p", "thé é", "--unknown", "skip", "-n", 3)
    assert "prompt: 2 characters that the model does not know are left out" in result.err


def test_gradcheck_needs_no_arguments(grucli: Grucli) -> None:
    result = grucli("gradcheck")
    assert result.code == 0
    assert "layer2.W_hz" in result.out
    assert result.out.startswith("all gradients are right\n")


def test_gradcheck_of_another_model_as_json(grucli: Grucli) -> None:
    result = grucli("gradcheck", "--set=model.layers=1", "--set=model.hidden=20", "--json")
    answer = json.loads(result.out)
    assert answer["passed"]
    assert answer["worst"] <= 1e-6
    assert all("layer2" not in check["array"] for check in answer["checks"])


def test_gradcheck_of_trained_weights(grucli: Grucli, trained: Path) -> None:
    for path in (trained, next((trained / "checkpoints").glob("*.npz"))):
        result = grucli("gradcheck", path)
        assert result.code == 0, result.out
        assert "H=12" in result.out


def test_gradcheck_fails_with_exit_code_1(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    from grucli.nn import model

    original = model.project_backward

    def wrong(W_x, x, da, dw, dx):  # type: ignore[no-untyped-def]
        original(W_x, x, da, dw, dx)
        dw.W_x[0] *= 1.001

    monkeypatch.setattr(model, "project_backward", wrong)
    result = grucli("gradcheck")
    assert result.code == 1
    assert "WRONG" in result.out


def test_a_reset_gate_after_the_product_is_checked_trained_and_sampled(grucli: Grucli) -> None:
    after = ("--set", "model.reset=after")
    checked = grucli("gradcheck", *after)
    assert checked.code == 0
    assert "layer.b_u" in checked.out
    grucli("corpus", "python-reference")
    small = ("--set", "model.hidden=12", "--set", "train.batch=8", "--set", "train.window=16")
    trained = grucli("train", "data/python-reference.txt", *after, *small, "--steps", "3")
    assert trained.code == 0, trained.err
    path = trained.out.strip()
    for command in (("sample", path, "--length", "5"), ("gradcheck", path)):
        assert grucli(*command).code == 0
    other = grucli(
        "train",
        "data/python-reference.txt",
        "--init-from",
        path,
        "--set",
        "model.reset=before",
        "--steps",
        "3",
    )
    assert other.code == 2
    assert "model.reset" in other.err


def test_corpus_writes_and_prints_its_path(grucli: Grucli) -> None:
    result = grucli("corpus", "python-reference")
    assert result.out.strip() == str(Path("data", "python-reference.txt"))
    assert Path("data", "python-reference.txt").stat().st_size > 300_000
    assert "grucli train data" in result.err
    assert grucli("corpus", "python-reference", "-o", "x/y.txt").out.strip() == str(Path("x/y.txt"))


def test_runs_lists_the_newest_first(grucli: Grucli, trained: Path) -> None:
    line = grucli("runs", trained.parent).out.splitlines()[1].split()
    assert line[:2] == [trained.name, "done"]
    assert line[3:] == ["char", "30", "gru", "1x12", "0.04", "0.5", "30", "steps", "text.txt"]
    assert json.loads(grucli("runs", trained.parent, "--json").out)[0]["step"] == 30
    Path("runs/broken").mkdir(parents=True)
    Path("runs/broken/run.json").write_text("{", encoding="utf-8")
    assert "damaged run.json" in grucli("runs").out


def test_no_runs_yet(grucli: Grucli) -> None:
    Path("runs").mkdir()
    assert "there are no runs in runs yet" in grucli("runs").err


# ---- the program itself


def test_version_and_help(grucli: Grucli) -> None:
    assert grucli("--version").out == f"grucli {__version__}\n"
    assert "gradcheck" in grucli("--help").out
    assert grucli("train", "-h").code == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\nfrom grucli.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "sys.exit(bool({'numpy', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


def test_a_mistyped_command_is_suggested(grucli: Grucli) -> None:
    result = grucli("trian", "x")
    assert result.code == 2
    assert "train" in result.err


def test_run_json_holds_the_command_lines(grucli: Grucli, text_file: Path) -> None:
    run = grucli("train", text_file, "--steps", 2, "-q", "--name", "a b", *TINY).out.strip()
    assert grucli("train", "--resume", run, "--steps=3", "-q").code == 0
    first, second = json.loads((Path(run) / "run.json").read_text(encoding="utf-8"))["commands"]
    assert first.startswith(f"grucli train {text_file} --steps 2 -q --name 'a b' --set")
    assert second == f"grucli train --resume {run} --steps=3 -q"


def test_a_list_is_noticed_and_shown_in_columns(grucli: Grucli) -> None:
    words = [f"{'abcdefgh'[n % 8]}nn{n}" for n in range(400)]
    Path("names.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    said = grucli("train", "names.txt", "--dry-run", *TINY).err
    assert "the text looks like a list (361 short lines at its start" in said
    asked = ("--set=data.documents=line", "--set=sample.length=400", *TINY)
    said = grucli("train", "names.txt", "--steps=2", *asked).err
    assert "looks like a list" not in said
    assert len([line for line in said.splitlines() if line.startswith("  | ")]) <= 5
    Path("prose.txt").write_text(prose(4000), encoding="utf-8")
    assert "looks like a list" not in grucli("train", "prose.txt", "--dry-run", *TINY).err


def test_errors_of_the_parser_have_the_style_of_all_errors(grucli: Grucli) -> None:
    assert grucli("train", "--stepz").err == (
        "error: no such option: --stepz (Possible options: --seed, --set, --steps); "
        "`grucli train --help` shows what it takes\n"
    )
    assert grucli("sample").err.startswith("error: missing argument")
    assert grucli("nonsense").err.startswith("error: no such command")
    assert "Usage:" in grucli().err


def test_the_learning_rate_suits_the_network_and_a_warm_start(
    grucli: Grucli, text_file: Path
) -> None:
    wide = grucli("train", text_file, "--dry-run", "--set", "model.hidden=1024")
    assert "lr 0.01, " in wide.err
    given = grucli(
        "train", text_file, "--dry-run", "--set", "model.hidden=1024", "-s", "optim.lr=0.3"
    )
    assert " lr " not in given.err
    first = grucli("train", text_file, "--steps", "3", *TINY, "-q").out.strip()
    second = grucli("train", text_file, "--steps", "3", "--init-from", first)
    assert "lr 0.012: defaults" in second.err
    assert "lr: 0.012\n" in (Path(second.out.strip()) / "config.yaml").read_text("utf-8")
