"""``grucli sample``."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import grucli as library
from grucli.text_out import printable
from tests.cli.helpers import (
    HARMLESS,
    HOSTILE,
    LIST,
    ROOT,
    SCRIPT,
    on_terminal,
    posix,
    refusal,
    safe,
    start,
    trained_on,
    unstyled,
    without_reader,
    write,
)
from tests.conftest import TINY, Grucli
from tests.texts import prose


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
    asked = ("sample", trained, "-n", 5, "-c", 2, "--seed=1", "--separator", "\\t\\\\n")
    assert "\t\\n" in grucli(*asked).out


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


def test_log_probabilities_in_json_are_at_temperature_one(grucli: Grucli, trained: Path) -> None:
    made = ["sample", trained, "-p", "the", "-n", 20, "--seed", 1, "--json"]
    for options in (["-t", 0.3], ["--top-k", 2], ["--top-p", 0.5]):
        (sample,) = json.loads(grucli(*made, *options).out)["samples"]
        scored = library.load(trained).score("the" + sample["text"]).log_probs[3:]
        assert [one["log_prob"] for one in sample["characters"]] == pytest.approx(scored, rel=1e-4)
        said = " ".join(grucli("sample", "--help").out.split())
        assert "the log probability of each character is the model's own, at temperature 1" in said


# ---- prompts


def test_a_prompt_from_a_file_or_standard_input(grucli: Grucli, trained: Path) -> None:
    prompt = prose(700)
    Path("p.txt").write_text(prompt, encoding="utf-8")
    result = grucli("sample", trained, "-n", "5", "--seed=1", "--prompt-file", "p.txt")
    assert result.out.startswith(prompt)
    process = start(
        "sample", trained, "-n", 5, "--seed=1", "--prompt-file", "-", stdin=subprocess.PIPE
    )
    assert process.communicate(prompt.encode())[0].decode() == result.out


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without end")
def test_a_prompt_without_end_is_refused(grucli: Grucli, trained: Path) -> None:
    assert "more than 4 MiB" in grucli("sample", trained, "--prompt-file", "/dev/zero").err


def test_unknown_characters_can_be_skipped(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "-n", "5", "-p", "théXe ", "--unknown", "skip")
    assert result.out.startswith("the ")


def test_a_prompt_without_its_unknown_characters_is_noticed(grucli: Grucli, trained: Path) -> None:
    result = grucli("sample", trained, "-p", "thé é", "--unknown", "skip", "-n", 3)
    assert "prompt: 2 characters that the model does not know are left out" in result.err


# ---- lists


def test_samples_of_a_list_end_by_themselves(grucli: Grucli) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--epochs=4")
    made = grucli("sample", run, "-c", 20, "--seed", 1).out
    assert len(made.splitlines()) == 20
    assert max(map(len, made.splitlines())) < 100
    assert grucli("sample", run, "-c", 2, "--seed", 1, "--separator", " / ").out == (
        " / ".join(made.splitlines()[:2]) + "\n"
    )
    begun = grucli("sample", run, "-p", "night", "-c", 3, "--seed", 2).out.splitlines()
    assert all(line.startswith("night") for line in begun)
    samples = json.loads(grucli("sample", run, "-c", 2, "--seed", 1, "--json").out)["samples"]
    assert [sample["text"] for sample in samples] == made.splitlines()[:2]
    assert [len(sample["characters"]) for sample in samples] == [
        len(line) for line in made.splitlines()[:2]
    ]
    assert all(sample["end_log_prob"] < 0 for sample in samples)
    cut = json.loads(grucli("sample", run, "-n", 1, "--seed", 1, "--json").out)["samples"][0]
    assert cut["end_log_prob"] is None
    total = sum(one["log_prob"] for one in samples[0]["characters"]) + samples[0]["end_log_prob"]
    write("made.txt", samples[0]["text"] + "\n")
    scored = json.loads(grucli("eval", run, "made.txt", "--json").out)["total"]
    assert scored["nats_per_char"] * scored["characters"] == pytest.approx(-total, rel=1e-4)
    assert (run / "samples").exists()
    for command in (("eval", run, "list.txt"), ("gradcheck", run), ("routes", run)):
        assert grucli(*command).code == 0


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "iso2022_jp_ext"])
def test_a_prompt_file_has_the_encoding_of_the_corpus(grucli: Grucli, encoding: str) -> None:
    word, plain = "für" if encoding != "iso2022_jp_ext" else "日本", "for"
    write("text.txt", (word + prose(2_000)).encode(encoding))
    run = trained_on(grucli, "text.txt", f"--set=data.encoding={encoding}", "--steps=2")
    asked = ("sample", run, "-n", 9, "--seed", 1)
    for text in (word, plain):
        expected = grucli(*asked, "--prompt", text)
        assert expected.code == 0
        for how in (encoding, "utf-8"):
            write("prompt.txt", text.encode(how))
            assert grucli(*asked, "--prompt-file", "prompt.txt") == expected, how
    write("wrong.txt", b"\x81")
    refused = grucli(*asked, "--prompt-file", "wrong.txt")
    assert "wrong.txt: byte 0x81 at offset 0 of the text is not UTF-8; convert it" in refused.err
    page = ("page", run, "-o", "-", "--passage", "prompt.txt")
    in_utf8 = grucli(*page).out
    write("prompt.txt", plain.encode(encoding))
    assert grucli(*page).out == in_utf8


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_prompt_file_of_a_list_begins_a_line(grucli: Grucli, line_end: str) -> None:
    write("list.txt", LIST)
    run = trained_on(grucli, "list.txt", "--set=data.documents=line", "--steps=10")
    write("prompt.txt", "night" + line_end)
    asked = ("sample", run, "-n", 30, "-c", 3, "--seed", 1)
    result = grucli(*asked, "--prompt-file", "prompt.txt")
    assert result.out == grucli(*asked, "--prompt", "night").out
    assert len(result.out.splitlines()) == 3
    assert "prompt.txt: its last line end is left out" in result.err
    write("prompt.txt", "night")
    assert "line end" not in grucli(*asked, "--prompt-file", "prompt.txt").err
    verse = trained_on(grucli, write("verse.txt", LIST), "--steps=5")
    write("prompt.txt", "night" + line_end)
    whole = grucli("sample", verse, "--prompt-file", "prompt.txt", "--seed", 1)
    assert whole.out.startswith("night\n")
    assert "line end" not in whole.err


# ---- conditions


def test_samples_of_a_list_obey_conditions(grucli: Grucli) -> None:
    run = trained_on(grucli, write("list.txt", LIST), "--set=data.documents=line", "--steps=30")
    asked = ["sample", run, "-c", 30, "--seed", 1, "--pattern", "[a-m].*[^e]"]
    asked += ["--only", "a-z", "--without", "t", "--min-length", 3, "--max-length", 9]
    for options in ([], ["--prompt", "l"], ["--exact"]):
        result = grucli(*asked, *options)
        assert result.code == 0
        lines = result.out.splitlines()
        assert len(lines) == 30
        assert all(re.fullmatch("(?=[^t]*$)[a-m][a-z]*[^e]", line) for line in lines)
        assert all(3 <= len(line) - ("--prompt" in options) <= 9 for line in lines)
        made = re.fullmatch(r"30 of (\d+) tries fulfilled the condition \(.*%\)\n", result.err)
        assert (made is not None) == ("--exact" in options)
    figures = json.loads(grucli(*asked, "--json").out)["samples"]
    assert [one["text"] for one in figures] == grucli(*asked).out.splitlines()
    assert all(one["end_log_prob"] < 0 for one in figures)
    first = grucli(*asked, "-c", 1).out
    assert first == grucli(*asked).out.splitlines(keepends=True)[0]


def test_a_word_of_running_text_ends_where_the_model_ends_it(grucli: Grucli, trained: Path) -> None:
    asked = ["sample", trained, "-c", 20, "--seed", 1, "--prompt", "the ", "--separator", "\\n"]
    lines = grucli(*asked, "--pattern", "[a-z]+").out.splitlines()
    assert all(re.fullmatch("the [a-z]+", line) for line in lines)
    assert len({len(line) for line in lines}) > 3
    lines = grucli(*asked, "--pattern", "[^ ]+", "--stop", " ", "--max-length", 3).out.splitlines()
    assert all(re.fullmatch("the [^ ]{1,3}", line) for line in lines)


# ---- new and distinct samples, beams


@pytest.fixture
def list_run(grucli: Grucli) -> str:
    write("list.txt", LIST)
    return trained_on(grucli, "list.txt", "--set=data.documents=line", "--epochs=4")


def test_new_and_distinct_samples_of_a_list(grucli: Grucli, list_run: str) -> None:
    asked = ("sample", list_run, "--seed", 1, "-n", 12, "-t", 1)
    result = grucli(*asked, "-c", 60, "--new", "--distinct")
    lines = result.out.splitlines()
    assert result.code == 0
    assert len(set(lines)) == len(lines) == 60
    assert not set(lines) & set(LIST.splitlines())
    told = re.fullmatch(
        r"of (\d+) samples, ([\d.]+)% were new, ([\d.]+)% new and distinct\n", result.err
    )
    assert told is not None
    assert int(told[1]) >= 60
    assert float(told[3]) == pytest.approx(6000 / int(told[1]), abs=0.05)
    assert float(told[2]) >= float(told[3])
    assert grucli(*asked, "-c", 7, "--new", "--distinct").out.splitlines() == lines[:7]
    data = json.loads(grucli(*asked, "-c", 7, "--new", "--distinct", "--json").out)
    assert [sample["text"] for sample in data["samples"]] == lines[:7]
    begun = grucli(*asked, "-c", 9, "--new", "-p", "night", "--pattern", "[a-z ]+")
    assert not set(begun.out.splitlines()) & set(LIST.splitlines())
    bare = grucli(*asked, "-c", 9, "--new", "-p", "night", "--pattern", "[a-z ]+", "--no-echo").out
    assert ["night" + line for line in bare.splitlines()] == begun.out.splitlines()
    assert re.fullmatch(r"of \d+ samples, [\d.]+% were new\n", begun.err)
    both = grucli(*asked, "-c", 3, "--distinct").err
    assert re.fullmatch(r"of \d+ samples, [\d.]+% were distinct\n", both)


def test_other_lists_are_left_out_too(grucli: Grucli, list_run: str) -> None:
    file = max(Path(list_run, "checkpoints").glob("*.npz")).rename("alone.npz")
    asked = ("sample", file, "--seed", 1, "-n", 8, "-t", 1, "-c", 30)
    lines = [line for line in grucli(*asked).out.splitlines() if line]
    write("first.txt", lines[0] + "\r\n")
    write("second.txt", lines[1])
    rest = grucli(*asked, "--not-in", "first.txt", "--not-in", "second.txt").out.splitlines()
    others = [line for line in lines if line not in lines[:2]]
    assert others == rest[: len(others)]
    code, out, problem = grucli(*asked, "--new")
    assert (code, out) == (2, "")
    assert "--new needs the training text: alone.npz: is outside its run directory" in problem
    assert "name a text with --not-in FILE, instead of --new" in problem


def test_new_samples_need_the_text_as_it_was(grucli: Grucli, list_run: str) -> None:
    asked = ("sample", list_run, "--new")
    write("list.txt", LIST + "more\n")
    changed = grucli(*asked)
    assert (changed.code, changed.out) == (2, "")
    assert (
        "list.txt: the text has changed since training; name a text with --not-in FILE"
        in changed.err
    )
    Path("list.txt").unlink()
    gone = grucli(*asked)
    assert (gone.code, gone.out) == (2, "")
    assert "list.txt: the text of the run is not there; copy it into" in gone.err
    assert "or name a text with --not-in FILE" in gone.err
    write("other.txt", "x\n")
    assert grucli("sample", list_run, "--not-in", "other.txt").code == 0


def test_what_was_found_is_kept_when_there_is_no_more(
    grucli: Grucli, list_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grucli.novelty.IN_A_ROW", 40)
    asked = ("sample", list_run, "-c", 3, "-t", 0, "--distinct")
    result = grucli(*asked)
    assert result.code == 1
    assert len(result.out.splitlines()) == 1
    assert "1 of 3 samples were found" in result.err
    assert "of 41 samples, 2.4% were distinct" in result.err
    told = grucli(*asked, "--json")
    assert told.code == 1
    assert [one["text"] for one in json.loads(told.out)["samples"]] == result.out.splitlines()


def test_new_samples_of_running_text_quote_nothing_long(grucli: Grucli, trained: Path) -> None:
    text = (trained.parents[1] / "text.txt").read_text("utf-8")
    asked = ("sample", trained, "--seed", 1, "-n", 60, "-c", 20, "-t", 0.7, "--separator", "\\n")
    found = json.loads(grucli(*asked, "--new", "--longest-copy", 7, "--json").out)["samples"]
    assert len(found) == 20
    for one in found:
        assert not [n for n in range(52) if one["text"][n : n + 8] in text]


def test_beams_are_the_likeliest_texts_best_first(grucli: Grucli, list_run: str) -> None:
    result = grucli("sample", list_run, "--beam", 4, "-n", 8, "-p", "ni")
    lines = result.out.splitlines()
    assert len(set(lines)) == 4
    assert all(line.startswith("ni") for line in lines)
    figures = [
        float(word) for word in result.err.removeprefix("log probabilities in nats:").split()
    ]
    assert sorted(figures, reverse=True) == figures
    found = json.loads(grucli("sample", list_run, "--beam", 4, "-n", 8, "-p", "ni", "--json").out)
    assert found["prompt"] == "ni"
    assert ["ni" + beam["text"] for beam in found["beams"]] == lines
    for beam, figure in zip(found["beams"], figures, strict=True):
        assert beam["log_prob"] == pytest.approx(figure, abs=0.006)
        own = sum(one["log_prob"] for one in beam["characters"])
        assert (own > beam["log_prob"]) == beam["ended"]


# ---- bytes


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


def test_a_binary_prompt_for_a_byte_level_model(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    run = grucli("train", "data.bin", "--set=data.level=byte", "--steps=2", "-q", *TINY).out.strip()
    Path("prompt.bin").write_bytes(b"\xff\xfe\x00")
    process = start("sample", run, "--prompt-file", "prompt.bin", "-n", "2", "--seed=1")
    assert process.communicate()[0].startswith(b"\xff\xfe\x00")
    asked = ("sample", run, "-n", "900", "--seed=1")
    plain = start(*asked).communicate()[0]
    last = bytes([max(plain)])  # which is not UTF-8
    stopped = start(*asked, "--stop", last.decode(errors="surrogateescape")).communicate()[0]
    assert stopped == plain.partition(last)[0] != plain


# ---- bad input


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--temperature", "-1"], "--temperature must be 0 or above, not -1.0"),
        (["--temperature", "nan"], "--temperature must be 0 or above, not nan"),
        (["--top-p", "0"], "--top-p must be above 0 and at most 1, not 0.0"),
        (["--top-p", "1.5"], "--top-p must be above 0 and at most 1, not 1.5"),
        (["--top-k", "0"], "--top-k"),
        (["--length", "-1"], "--length"),
        (["--count", "0"], "--count"),
        (["--pattern", "[a"], "--pattern '[a' is wrong: unterminated character set at position 0"),
        (["--pattern", "(?=a)b"], "--pattern '(?=a)b' has at position 0 what no automaton can"),
        (["--pattern", "É+"], "--pattern is fulfilled by no text of the characters that the model"),
        (["--pattern", "a{9}", "-n", "8"], "the shortest that matches has 9"),
        (["--only", "[", "--min-length", "-1"], "--min-length must be 0 or above"),
        (["--max-length", "3", "--min-length", "4"], "--min-length is 4, above the greatest"),
        (["--pattern", ".+", "--only", "É"], "--only leaves no character that the model may draw"),
        (["--not-in", ""], "'': the name is empty"),
        (["--exact"], "--exact needs a condition, such as a pattern"),
        (["--unknown", "guess"], "'guess' is not one of 'error', 'skip'"),
        (["--prompt", "a", "--prompt-file", "text.txt"], "both given"),
        (["--prompt-file", "nothing.txt"], "nothing.txt: there is no such file; give a text file"),
        (["--prompt-file", "cp1252.txt"], "byte 0x92 at offset 2 of the text is not UTF-8"),
        (["--prompt-file", "long.txt"], "long.txt: the prompt has more than 4 MiB; keep its end"),
        (["--beam", "0"], "--beam"),
        (
            ["--beam", "2", "-t", "0.5", "--seed", "1", "-c", "2", "--new"],
            "leave out --temperature, --seed, --count, --new or --not-in, or leave out --beam",
        ),
        (["--beam", "100", "-n", "1000000"], "--length must be at most 41,943 for 100 beams"),
        (
            ["--longest-copy", "9"],
            "--longest-copy needs a text to compare with: not_in (--new or --not-in)",
        ),
        (
            ["--not-in", "text.txt", "--longest-copy", "0"],
            "--longest-copy must be 1 or above, not 0",
        ),
        (["--not-in", "nothing.txt"], "nothing.txt: there is no such file"),
        (["--not-in", "empty.txt"], "empty.txt: the file is empty"),
        (["--not-in", "-", "--prompt-file", "-"], "- (standard input) is named twice"),
        (["--not-in", "cp1252.txt"], "cp1252.txt: byte 0x92"),
        (["--stop", "a" * 1001], "--stop takes texts of at most 1,000 characters"),
        (["--json", "--length", "9" * 4000, "--count", "9" * 4000], "--json keeps all samples in"),
        (["--json", "--beam", "4000", "-n", "1000"], "--count (or --beam) times --length must be"),
        (["--json", "--length", "0", "--count", "2000001"], "must be at most 2,000,000 characters"),
        (
            ["--prompt", "Xué"],
            "the model never saw the characters 'X' LATIN CAPITAL LETTER X (U+0058), "
            "'é' LATIN SMALL LETTER E WITH ACUTE (U+00E9); --unknown skip leaves them out",
        ),
    ],
    ids=lambda value: "_".join(map(str, value))[:60] if isinstance(value, list) else "",
)
def test_bad_input(grucli: Grucli, trained: Path, args: list[str], expected: str) -> None:
    assert expected in refusal(grucli, "sample", trained, *args)


def test_a_checkpoint_from_a_newer_format(grucli: Grucli, trained: Path) -> None:
    with np.load(max((trained / "checkpoints").glob("*.npz"))) as arrays:
        members = dict(arrays)
    meta = json.loads(members["meta"].tobytes()) | {"format": 3}
    members["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez("new.npz", **members)
    assert "reads format 2: use the grucli that wrote it" in refusal(grucli, "sample", "new.npz")


def test_an_empty_stop_string(grucli: Grucli, trained: Path) -> None:
    assert "--stop needs a text" in grucli("sample", trained, "--stop", "").err


# ---- terminals, readers who leave, signals


@posix
def test_a_sample_on_a_terminal_shows_what_a_pipe_gets_as_it_is(hostile_run: Path) -> None:
    Path("prompt.txt").write_text(HOSTILE + HARMLESS, encoding="utf-8", newline="")
    asked = ("sample", hostile_run, "--prompt-file", "prompt.txt", "-n", 20, "--seed", 1, "-c", 2)
    piped = start(*asked).communicate()[0].decode()
    assert piped.count(HOSTILE + HARMLESS) == 2
    code, shown = on_terminal(*asked)
    assert code == 0
    assert safe(shown)
    assert unstyled(shown).startswith(printable(piped))
    assert HARMLESS in shown
    assert on_terminal(*asked, "--raw")[1] == piped


@posix
def test_bytes_reach_a_terminal_as_characters(grucli: Grucli) -> None:
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    run = grucli("train", "data.bin", "--set=data.level=byte", "--steps=2", "-q", *TINY).out.strip()
    code, shown = on_terminal("sample", run, "-n", 300, "--prompt", HARMLESS, "--seed", 1)
    assert code == 0
    assert shown.startswith(HARMLESS)
    assert safe(shown)


def test_a_reader_that_goes_away_ends_it_quietly(trained: Path) -> None:
    asked = ("sample", trained, "--length", "200000", "--seed", "1")
    start(*asked).communicate()  # which may compile code, and say so
    process = start(*asked)
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(timeout=30) == 0


@posix
def test_samples_end_where_the_reader_leaves(trained: Path) -> None:
    endless = without_reader("sample", trained, "--length=1000000000", "--seed=1")
    endless.communicate(timeout=300)
    assert endless.returncode == 0


@posix
def test_ctrl_c_ends_the_line_of_a_sample_and_tells_its_seed(trained: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "sample", str(trained), "-n", "100000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.read(50)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith(b"\n")
    assert b"repeats this" in err


def test_a_terminal_shows_lines_that_break_between_words(
    grucli: Grucli, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("sample", trained, "--length", 300, "--seed", 1, "--temperature", 0.3)
    plain = grucli(*asked).out
    assert max(map(len, plain.splitlines())) > 40
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = grucli(*asked).out
    assert max(map(len, shown.splitlines())) <= 40
    assert shown.split() == plain.split()
    raw = grucli(*asked, "--raw").out
    assert raw == plain
