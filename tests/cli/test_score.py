"""``grucli score``."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli import line_scores
from grucli.cli import score as score_command
from tests.cli.helpers import (
    HOSTILE,
    LIST,
    on_terminal,
    posix,
    refusal,
    safe,
    start,
    trained_on,
    without_reader,
    write,
)
from tests.conftest import Grucli
from tests.texts import prose

TEXT = "the river\n\nold light keeps the garden\nthe"


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.split("\n")[:-1]]


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """The same text, trained for a step."""
    home = tmp_path_factory.mktemp("short")
    run = library.train(
        trained.parents[1] / "text.txt",
        steps=1,
        settings={"model.hidden": 8, "train.batch": 4, "train.window": 16, "train.workers": 1},
        runs_dir=home,
    )
    return run.path


@pytest.fixture(scope="session")
def byte_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bytes")
    content = bytes(range(256)) * 20
    (home / "all.bin").write_bytes(content)
    run = library.train(
        home / "all.bin",
        steps=1,
        settings={"data.level": "byte", "model.hidden": 8, "train.workers": 1},
        runs_dir=home,
    )
    return run.path


def test_each_line_has_a_row(grucli: Grucli, trained: Path) -> None:
    lm = library.load(trained)
    result = grucli("score", trained, write("text.txt", TEXT))
    header, *others = rows(result.out)
    assert header == ["nats", "nats_per_char", "chars", "line"]
    assert [row[3] for row in others] == TEXT.split("\n")
    for nats, per_char, chars, line in others:
        score = lm.score(line)
        assert float(nats) == pytest.approx(score.nats, abs=2e-4)
        assert int(chars) == len(line)
        if line:
            assert float(per_char) == pytest.approx(score.nats / len(line), abs=1e-4)
    assert others[1] == ["0.0000", "nan", "0", ""]
    crlf = grucli("score", trained, write("crlf.txt", TEXT.replace("\n", "\r\n") + "\r\n"))
    assert crlf.out == result.out
    assert grucli("score", trained, write("empty.txt", "")).out == "\t".join(header) + "\n"


def test_standard_input_is_read_without_a_file(
    grucli: Grucli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = grucli("score", trained, write("text.txt", TEXT)).out
    for args in ([], ["-"]):
        with open("text.txt", encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", file)
            assert grucli("score", trained, *args).out == expected
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refusal(grucli, "score", trained)


def test_several_files_and_whole_files(grucli: Grucli, trained: Path) -> None:
    Path("dir").mkdir()
    write("dir/a.txt", "the river\nold\n")
    write("dir/b.txt", "the")
    header, *others = rows(grucli("score", trained, "dir").out)
    assert header == ["nats", "nats_per_char", "chars", "file", "line"]
    a, b = (str(Path("dir", name)) for name in ("a.txt", "b.txt"))
    assert [row[3:] for row in others] == [[a, "the river"], [a, "old"], [b, "the"]]
    Path("dir/a.pdf").write_bytes(b"%PDF-1.7\n\xff\x00")
    with_pdf = grucli("score", trained, "dir")
    assert rows(with_pdf.out)[1:] == others
    assert (
        "files that cannot be read as text were left out: dir/a.pdf (a PDF document)"
        in with_pdf.err
    )
    header, *others = rows(grucli("score", trained, "dir", "--whole-files").out)
    assert header == ["nats", "nats_per_char", "chars", "file"]
    assert [row[2:] for row in others] == [["14", a], ["3", b]]
    nats = library.load(trained).score("the river\nold\n").nats
    assert float(others[0][0]) == pytest.approx(nats, abs=2e-4)
    write("dir/c.txt", "the É")
    assert "c.txt: line 1: the model never saw" in refusal(grucli, "score", trained, "dir/c.txt")
    assert "c.txt: the model never saw" in refusal(
        grucli, "score", trained, "dir/c.txt", "--whole-files"
    )


def test_a_model_of_a_list_scores_the_end_of_a_line(grucli: Grucli) -> None:
    run = trained_on(grucli, write("list.txt", LIST), "--set=data.documents=line", "--steps=3")
    (_, row, empty) = rows(grucli("score", run, write("one.txt", "night\n\n")).out)
    assert (row[2], empty[2]) == ("6", "1")
    assert float(row[0]) == pytest.approx(library.load(run).score("night\n").nats, abs=2e-4)


def test_lines_are_compared(grucli: Grucli, trained: Path, other_run: Path) -> None:
    text, names = write("text.txt", TEXT), [str(trained), str(other_run)]
    header, *others = rows(grucli("score", trained, text, "--against", other_run).out)
    assert header[3:] == ["ratio", "likeliest", "posterior", "line"]
    for _, _, _, ratio, likeliest, posterior, line in others:
        nats = [library.load(run).score(line).nats for run in names]
        assert float(ratio) == pytest.approx(nats[1] - nats[0], abs=1e-3)
        own = 1 / (1 + np.exp(-float(ratio)))
        assert likeliest == names[0 if own >= 0.5 else 1]
        assert float(posterior) == pytest.approx(max(own, 1 - own), abs=1e-3)
    three = [f"--against={other_run}", f"--against={trained}", "--prior=1,3,4"]
    header, *others = rows(grucli("score", trained, text, *three).out)
    assert header[3:7] == ["ratio_1", "ratio_2", "likeliest", "posterior"]
    assert others[1][3:7] == ["0.0000", "0.0000", names[0], "0.5000"]  # the prior, of an empty line


def test_rows_can_be_sorted(grucli: Grucli, trained: Path, other_run: Path) -> None:
    text = write("text.txt", f"{TEXT}\n\nriver river\nqqq")
    header, *plain = rows(grucli("score", trained, text).out)
    by_surprise = sorted(plain, key=lambda row: -1.0 if row[1] == "nan" else float(row[1]))[::-1]
    assert rows(grucli("score", trained, text, "--sort=surprise").out)[0] == header
    assert [row[1] for row in rows(grucli("score", trained, text, "--sort=surprise").out)[1:]] == [
        row[1] for row in by_surprise
    ]
    assert rows(grucli("score", trained, text, "--top=2").out)[1:] == by_surprise[:2]
    against = ["--against", other_run]
    _, *plain = rows(grucli("score", trained, text, *against).out)
    ratios = sorted((float(row[3]) for row in plain), reverse=True)
    _, *ordered = rows(grucli("score", trained, text, *against, "--sort=ratio", "--top=4").out)
    assert [float(row[3]) for row in ordered] == ratios[:4]


def test_json_lines_and_characters(grucli: Grucli, trained: Path) -> None:
    text = write("text.txt", TEXT)
    records = list(
        map(json.loads, grucli("score", trained, text, "--jsonl", "--chars").out.splitlines())
    )
    assert [record["line"] for record in records] == TEXT.split("\n")
    assert records[1] == {
        "nats": 0.0, "nats_per_char": None, "chars": 0, "log_probs": [], "line": "",
    }  # fmt: skip
    for record, row in zip(
        records, rows(grucli("score", trained, text, "--chars").out)[1:], strict=True
    ):
        expected = library.load(trained).score(record["line"])
        np.testing.assert_allclose(record["log_probs"], expected.log_probs, atol=1e-5)
        assert record["nats"] == pytest.approx(expected.nats, abs=1e-5)
        assert [float(one) for one in row[3].split()] == pytest.approx(
            record["log_probs"], abs=1e-4
        )


def test_what_would_break_a_row_is_escaped(grucli: Grucli, trained: Path, byte_run: Path) -> None:
    line = "a\tb\\n\0\x1b\u2028\U0001f600\u00e9"
    for run in (trained, byte_run):
        floor = ["--unknown=floor", write("odd.txt", line.replace("\r", "") + "\nb")]
        header, row, _ = rows(grucli("score", run, *floor).out)
        assert row[header.index("line")] == "a\\tb\\\\n\\u0000\\u001b\\u2028\U0001f600\u00e9"
        record = json.loads(grucli("score", run, *floor, "--jsonl").out.splitlines()[0])
        assert record["line"] == line
    write("latin1.txt", b"caf\xe9\r\n")
    assert rows(grucli("score", byte_run, "latin1.txt").out)[1][2:] == ["5", "caf\\udce9\\r"]
    out = grucli("score", byte_run, "latin1.txt", "--jsonl").out
    assert json.loads(out)["line"].encode(errors="surrogateescape") == b"caf\xe9\r"


def test_new_characters(grucli: Grucli, trained: Path) -> None:
    write("odd.txt", "the river\nthé")
    advice = "--unknown floor charges for them, --unknown skip leaves them out"
    refused = grucli("score", trained, "odd.txt")
    assert "odd.txt: line 2: the model never saw the character 'é'" in refused.err
    assert advice in refused.err
    assert refused.code == 2
    header, _, row = rows(grucli("score", trained, "odd.txt", "--unknown=skip").out)
    assert header[2:] == ["chars", "skipped", "line"]
    assert row[2:] == ["2", "1", "thé"]
    *_, row = rows(grucli("score", trained, "odd.txt", "--unknown=floor").out)
    assert row[2:] == ["3", "thé"]


def test_rows_before_an_error_are_written(grucli: Grucli, trained: Path) -> None:
    write("good.txt", "the river\nthe hill\n")
    write("odd.txt", "the hill\nthé\nthe river\n")
    Path("cp1252.txt").write_bytes(b"th\x92e\n")
    for bad, line, before in (("odd.txt", 2, 3), ("cp1252.txt", 1, 2)):
        refused = grucli("score", trained, "good.txt", bad)
        assert refused.code == 2
        assert f"line {line}" in refused.err
        lines = [row[-1] for row in rows(refused.out)]
        assert lines == ["line", "the river", "the hill", "the hill"][: 1 + before]
    for words in (["odd.txt", "--sort=surprise"], ["cp1252.txt"]):
        assert refusal(grucli, "score", trained, *words)


@pytest.mark.usefixtures("bad_files")
def test_bad_input(grucli: Grucli, trained: Path, other: Path, byte_run: Path) -> None:
    Path("zeros.bin").write_bytes(b"\x7fELF" + bytes(5000))
    for args, message in [
        (["nothing.txt"], "nothing.txt: there is no such file"),
        (["zeros.bin"], "zeros.bin: this is a compiled program, not text"),
        (["cp1252.txt"], "byte 0x92 at offset 2 (line 1) is not utf-8"),
        (["half.gz"], "not a complete gzip file"),
        (["-", "-"], "named twice"),
        (["text.txt", "--sort=ratio"], "--sort ratio needs another model; name it with --against"),
        (["text.txt", "--prior=1"], "--prior needs another model; name it with --against"),
        (["text.txt", f"--against={trained}", "--prior=1"], "number for each model, so 2"),
        (["text.txt", f"--against={trained}", "--prior=x"], "must be numbers and commas, not x"),
        (["text.txt", "--top=0"], "--top"),
        (["text.txt", "--set=model.hidden=3"], "--set takes data.encoding only"),
        (["text.txt", f"--against={other}"], "the model never saw"),
        (
            ["text.txt", f"--against={byte_run}"],
            "do not predict the same symbols of a line",
        ),
        (["text.txt", "--against=nothing"], "nothing: there is no such run or checkpoint"),
    ]:
        assert message in refusal(grucli, "score", trained, *args)
    assert (
        grucli("score", trained, "cp1252.txt", "--set=data.encoding=cp1252", "--unknown=skip").code
        == 0
    )


def test_a_document_with_a_new_character_is_named(grucli: Grucli) -> None:
    write("text.txt", "ab\n\nba\nab\n\n" * 200)
    run = trained_on(grucli, "text.txt", "--set=data.documents=paragraph", "--steps=1")
    write("new.txt", "ab\nba\n\n\nac\n")
    assert "new.txt: paragraph 2: the model never saw" in grucli("score", run, "new.txt").err


def test_the_likeliest_other_model_counts() -> None:
    one = line_scores.LineScore("a", 1.0, np.zeros(1), 0, np.array([3.0, -1.0]), np.ones(3) / 3)
    assert score_command._height(one, "ratio") == -1.0


@posix
def test_ctrl_c_and_a_closed_pipe(trained: Path) -> None:
    write("long.txt", (prose(300).replace("\n", " ") + "\n") * 30_000)
    process = start("score", trained, "long.txt")
    assert process.stdout is not None
    assert process.stdout.readline() == b"nats\tnats_per_char\tchars\tline\n"
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    write("short.txt", "the river\n" * 3000)
    process = without_reader("score", trained, "short.txt")
    _, err = process.communicate()
    assert (process.returncode, b"Traceback" in err) == (0, False)


@pytest.mark.parametrize("width", [60, 80])
def test_a_terminal_has_columns_and_breaks_no_word(
    grucli: Grucli, trained: Path, other_run: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    text = f"the river\n\n{'':25}the old light keeps the garden\n{prose(200)}\n{'the' * 60}\n"
    piped = rows(grucli("score", trained, write("text.txt", text), "--unknown=floor").out)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    shown = grucli("score", trained, "text.txt", "--unknown=floor").out.splitlines()
    assert max(map(len, shown)) <= width
    assert shown[0].split() == piped[0]
    assert shown[0].index("line") == shown[1].index("the river")
    for numbers in piped[1:]:
        assert any(line.split()[:3] == numbers[:3] for line in shown)
    assert " ".join(shown).split()[-1].strip("the") == ""
    words = {word for line in shown for word in line.split()}
    assert {*text.split()} - {"the" * 60} <= words
    asked = ("--unknown=floor", "--against", other_run, "--chars")
    crowded = grucli("score", trained, "text.txt", *asked).out.splitlines()
    assert max(map(len, crowded)) <= width
    assert {*text.split()} - {"the" * 60} <= {word for line in crowded for word in line.split()}
    json_lines = grucli("score", trained, "text.txt", "--unknown=floor", "--jsonl").out
    assert json.loads(json_lines.partition("\n")[0])["chars"] == 9


@posix
def test_a_terminal_is_not_controlled(hostile_run: Path) -> None:
    write("hostile.txt", HOSTILE + "\n")
    code, sent = on_terminal("score", hostile_run, "hostile.txt")
    assert code == 0
    assert safe(sent)
