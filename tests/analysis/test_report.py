"""Reports of runs, and the commands ``report`` and ``plot``."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grucli.analysis.report import report
from grucli.errors import RunError, UsageError
from grucli.storage.directory import RunDirectory, open_checkpoint
from grucli.storage.run import Run
from grucli.training.api import train_events
from grucli.training.events import Saved
from tests.conftest import TINY, Grucli


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def train(grucli: Grucli, text: Path, *more: str) -> Path:
    steps = () if "--minutes" in more else ("--steps", "30")
    done = grucli("train", text, *steps, *TINY, *more, "-q")
    assert done.code == 0, done.err
    return Path(done.out.strip())


def test_a_report_has_curves_settings_samples_surprise_and_origin(
    grucli: Grucli, text_file: Path
) -> None:
    run = train(grucli, text_file)
    done = grucli("report", run)
    assert done.code == 0, done.err
    assert Path(done.out.strip()) == run / "report.html"
    html = (run / "report.html").read_text("utf-8")
    page = Page(html)
    assert page.tags.count("polyline") == 9  # losses by three axes, and three small charts
    assert page.tags.count("input") == 3  # losses by steps, characters or seconds
    assert page.tags.count("pre") >= 3
    for words in (
        "model.hidden",
        "12 (default: 256)",
        "Samples over time",
        "surprising",
        "SHA-256",
    ):
        assert words in page.words, words
    assert f"{Run(run).info.best.loss:.4f} nats" in page.words
    assert grucli("report", run).code == 0  # again, over its own page


def test_a_report_loads_nothing_and_runs_only_its_own_script(
    grucli: Grucli, text_file: Path
) -> None:
    page = Page(report(train(grucli, text_file)).html)
    assert not {"img", "link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    names = {name for name, _ in page.attributes}
    assert not {"src", "href", "style"} & names
    assert not [name for name in names if name.startswith("on")]
    (policy,) = [
        value for name, value in page.attributes if name == "content" and "default" in str(value)
    ]
    assert str(policy).startswith(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    )
    assert "script-src 'sha256-" in str(policy)
    assert "unsafe" not in str(policy)


def test_several_runs_are_sorted_by_their_result_with_what_differs(
    grucli: Grucli, text_file: Path, tmp_path: Path
) -> None:
    runs = [train(grucli, text_file, f"--set=optim.lr={lr}") for lr in (1e-5, 0.02)]
    assert "needs a name" in grucli("report", *runs).err
    file = tmp_path / "both.html"
    assert grucli("report", *runs, "-o", file).code == 0
    page = Page(file.read_text("utf-8"))
    assert "optim.lr" in page.words
    for equal in ("model.hidden", "text.txt", "batch x window", "cannot be compared"):
        assert equal not in page.words
    best, worst = (page.words.rindex(run.name) for run in reversed(runs))
    assert best < worst
    assert grucli("report", *runs, "-o", "-").out.startswith("<!DOCTYPE html>")


def test_runs_with_different_texts_are_not_compared_by_their_losses(
    grucli: Grucli, text_file: Path
) -> None:
    longer = text_file.with_name("longer.txt")
    longer.write_text(text_file.read_text("utf-8") * 30, "utf-8")
    runs = [
        Path(grucli("train", text, "--steps", "5", "-s", "model.hidden=8", "-q").out.strip())
        for text in (text_file, longer)
    ]
    page = Page(report(*runs).html)
    assert "losses on different texts cannot be compared" in page.words
    columns = [value for name, value in page.attributes if name == "data-name"]
    assert {"text", "batch x window"} <= set(columns)
    assert "longer.txt" in page.words
    for run in runs:
        _, checkpoint = open_checkpoint(run)
        assert f"{checkpoint.batch} x {checkpoint.window}" in page.words
    longer.write_text(longer.read_text("utf-8") + "more", "utf-8")
    runs.append(Path(grucli("train", longer, "--steps", "5", *TINY, "-q").out.strip()))
    page = Page(report(*runs[1:]).html)  # of one name
    for run in runs[1:]:
        assert f"longer.txt {str(Run(run).info.corpus.sha256)[:8]}" in page.words
    assert "losses on different texts cannot be compared" in page.words


def test_a_report_says_how_good_the_model_is(grucli: Grucli, text_file: Path) -> None:
    run = train(grucli, text_file)
    assert grucli("report", run).code == 0
    page = Page((run / "report.html").read_text("utf-8"))
    assert f"\n{text_file.name}\n{run.name}\n" in page.words  # the text is its title
    for words in ("equally likely ones. Guessing by frequency", "of a sample", "copies"):
        assert page.words.index(words) < page.words.index("parameters")
    assert "as uncertain about each character" in Page(report(run).html).words  # while it trains


def test_a_report_names_what_is_not_set_and_counts_in_good_english(
    grucli: Grucli, text_file: Path
) -> None:
    run = train(grucli, text_file, "--minutes", "0.01")
    words = Page(report(run).html).words
    assert "None" not in words
    assert "train.steps" not in words
    assert "train.epochsnot set (default: 16.0)" in words
    info = run / "run.json"
    facts = json.loads(info.read_text())
    for seconds, said in ((1.0, "1 second"), (60.0, "60 seconds"), (150.0, "2.5 minutes")):
        info.write_text(json.dumps(facts | {"elapsed_s": seconds}))
        assert f"time{said}" in Page(report(run).html).words


HOSTILE = "</script><script>alert(1)</script><!-- ]]>\"'&\x00\x1b[31m\u2028\u202e</pre></style>"


def test_a_hostile_text_is_shown_as_text(grucli: Grucli, tmp_path: Path) -> None:
    text = tmp_path / "<script>alert(1)<.txt"
    text.write_text(f"some words {HOSTILE}\n" * 100, "utf-8")
    page = Page(report(train(grucli, text), said=[HOSTILE]).html)
    assert page.tags.count("script") == 1
    assert "<script>alert(1)</script>" in page.words
    assert "\x1b" not in page.words
    assert "\x00" not in page.words


def test_a_run_without_its_text_or_without_losses_has_a_report(
    grucli: Grucli, text_file: Path
) -> None:
    run = train(grucli, text_file)
    text_file.unlink()
    assert "surprising" not in Page(report(run).html).words
    metrics = run / "metrics.csv"
    metrics.write_text(metrics.read_text().splitlines()[0] + "\n")  # only the names of the columns
    assert Page(report(run).html).tags.count("svg") == 0
    assert "no losses yet" in grucli("plot", run).err


def test_no_run_and_no_such_run_are_errors(grucli: Grucli, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report()
    assert grucli("report", tmp_path / "none").code == 2
    assert grucli("plot", tmp_path / "none").code == 2


# ---- curves in the terminal and in files


def test_curves_are_drawn_in_the_width_of_the_terminal(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(grucli, text_file)
    for columns in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = grucli("plot", run).out.splitlines()
        assert max(map(len, lines[:-1])) <= min(columns, 100)
        assert re.search(r"at the end, from the top: (training|validation) \d\.\d{4}, ", lines[-1])
        assert "\u2800" < max("".join(lines[:-1])) <= "\u28ff"
    monkeypatch.setenv("TERM", "dumb")
    assert grucli("plot", run, "--by", "time").out.isascii()


def test_curves_are_written_to_files(grucli: Grucli, text_file: Path, tmp_path: Path) -> None:
    runs = [train(grucli, text_file, "--seed", seed) for seed in ("1", "2")]
    file = tmp_path / "curve.svg"
    assert grucli("plot", *runs, "--by", "chars", "-o", file).code == 0
    root = ElementTree.fromstring(file.read_text("utf-8"))
    assert len([one for one in root.iter() if one.tag.endswith("polyline")]) == 2
    assert {run.name for run in runs} <= {one.text for one in root.iter()}  # the key
    assert grucli("plot", *runs, "--by", "chars", "-o", "-").out == file.read_text("utf-8")
    assert "--force" in grucli("plot", *runs, "-o", file).err
    wrong = grucli("plot", *runs, "-o", tmp_path / "curve.gif")
    assert wrong.code == 2
    assert ".svg or .png" in wrong.err


def test_curves_as_a_picture_need_matplotlib(
    grucli: Grucli, text_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "curve.png"
    assert grucli("plot", train(grucli, text_file), "-o", file).code == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_curves_have_all_rows_of_the_metrics(grucli: Grucli, text_file: Path) -> None:
    run = Run(train(grucli, text_file))
    training, validation = run.curves()
    splits = run.metrics["split"].tolist()
    assert len(training.points) == splits.count("train")
    assert len(validation.points) == splits.count("val") == 3
    (speed,) = run.curves(column="chars_per_s")
    assert len(speed.points) == splits.count("train")


# ---- the report of a run in training


def test_training_writes_the_report_and_prints_its_path(grucli: Grucli, text_file: Path) -> None:
    done = grucli("train", text_file, "--steps", "30", *TINY)
    run = Path(done.out.strip())
    assert str(run / "report.html") in done.err
    words = Page((run / "report.html").read_text("utf-8")).words
    assert "surprising" in words
    assert "done" in words


def test_the_report_of_training_reads_the_settings_once_and_no_text(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = train(grucli, text_file), []
    config = RunDirectory.config
    monkeypatch.setattr(RunDirectory, "config", lambda self: read.append(1) or config(self))
    monkeypatch.setattr("grucli.analysis.report.load_with_split", None)
    report(run, passage=False)
    assert read == [1]


def test_the_report_is_there_after_the_first_evaluation(text_file: Path) -> None:
    changes = {"model.hidden": 12, "train.batch": 4, "train.window": 16, "train.eval_every": 10}
    seen = []
    for event in train_events(text_file, steps=30, settings=changes):
        run = next(Path("runs").iterdir())
        if isinstance(event, Saved):
            seen.append(Page((run / "report.html").read_text("utf-8")).tags.count("circle"))
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[0] > 0


def test_no_trouble_with_a_report_ends_a_run(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    def fails(*_: object) -> None:
        raise RunError("no space left on device")

    monkeypatch.setattr("grucli.storage.directory.RunDirectory.write_report", full)
    monkeypatch.setattr("grucli.output_files.write_result", fails)
    done = grucli("train", text_file, "--steps", "20", *TINY)
    assert done.code == 0, done.err
    assert not (Path(done.out.strip()) / "report.html").exists()
