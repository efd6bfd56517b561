"""Reports of runs."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from itertools import count, pairwise
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace

import pytest

from grucli.errors import CheckpointError, DivergedError
from grucli.run import records
from grucli.run.report import report
from grucli.run.run import Run
from grucli.training.api import train_events
from grucli.training.events import Evaluated, Finished, NotReported, Saved, Stepped
from grucli.training.preparation import prepare
from grucli.training.request import Request
from grucli.training.trainer import Trainer
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


def test_a_training_loss_above_the_validation_loss_is_explained(
    grucli: Grucli, text_file: Path
) -> None:
    words = "it is measured with dropout"
    asked = ["train", text_file, "--steps=10", *TINY, "--set=model.hidden=32"]
    for dropout, explained in ((0.7, True), (0.0, False)):
        without = [f"--set=model.dropout={dropout}", "--set=model.weight_dropout=0"]
        done = grucli(*asked, *without)
        run = Path(done.out.strip())
        training, validation = (curve.y[-1] for curve in Run(run).curves())
        assert training > validation
        assert (words in done.err, words in grucli("plot", run).err) == (explained,) * 2
        html = (run / "report.html").read_text("utf-8")
        assert html.count(words) == explained


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


def test_runs_that_differ_in_the_seed_alone_have_a_mean(grucli: Grucli, text_file: Path) -> None:
    runs = [train(grucli, text_file, "--seed", seed) for seed in (1, 2, 3)]
    other = train(grucli, text_file, "--set=optim.lr=0.001")
    losses = [Run(run).info.best.loss or 0.0 for run in runs]
    words = Page(report(*runs, other).html).words
    seeds = words[words.index("Runs that differ in the seed alone") :]
    assert f"3{mean(losses):.4f}{stdev(losses):.4f}" in "".join(seeds.split())
    assert other.name not in seeds
    assert "seed alone" not in Page(report(runs[0], other).html).words
    begun = train(grucli, text_file, "--seed", 4, "--init-from", runs[0], "--set=optim.lr=0.03")
    lr = ("--set", f"optim.lr={Run(begun).settings.optim.lr}", "--seed", 5)
    assert "seed alone" not in Page(report(begun, train(grucli, text_file, *lr)).html).words
    again = train(grucli, text_file, "--seed", 1)
    assert "seed alone" not in Page(report(runs[0], again).html).words


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
        checkpoint = Run.open(run).checkpoint
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
    for seconds, said in ((1.0, "1 s"), (60.0, "1 min 0 s"), (150.0, "2 min 30 s")):
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
    config = Run.config
    monkeypatch.setattr(Run, "config", lambda self: read.append(1) or config(self))
    monkeypatch.setattr("grucli.run.run.read_again", lambda *_: pytest.fail("the text was read"))
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


SMALL = {"model.hidden": 12, "train.batch": 4, "train.window": 16, "train.workers": 1}


class Clock:
    """A clock on which only the reading of a row of metrics takes time, and what a test adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.read = 0.0, 0
        read = records._METRICS.validate_python

        def reading(values: object) -> records.Metrics:
            self.now, self.read = self.now + 0.001, self.read + 1
            return read(values)

        monkeypatch.setattr(records, "_METRICS", SimpleNamespace(validate_python=reading))
        monkeypatch.setattr(
            "grucli.training.session.Trainer",
            lambda *a, **named: Trainer(*a, **named, clock=self.tell),
        )

    def tell(self) -> float:
        self.now += 1e-9
        return self.now


def test_reports_at_evaluations_take_a_hundredth_of_the_time(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rows, reports = Clock(monkeypatch), list[int](), list[float]()
    changes = SMALL | {"model.hidden": 4, "train.eval_every": 1, "sample.length": 0}
    path = Path()
    changes |= {"train.keep": 0, "train.patience": 0}
    for event in train_events(text_file, steps=200, settings=changes):
        if isinstance(event, Stepped):
            path = next(Path("runs").iterdir())
            clock.now += 0.25
        if isinstance(event, Evaluated):
            if clock.read > sum(rows):
                reports.append(clock.now)
            rows.append(clock.read - sum(rows))
    assert sum(rows) * 0.001 < 0.01 * clock.now + 0.4  # a hundredth, and one report
    assert 5 < len(reports) < 60
    early, *_, late = (after - before for before, after in pairwise(reports))
    assert late > early  # the longer the metrics are, the rarer are the reports
    assert clock.read - sum(rows) == 2 * 400  # at the end: for the verdict, and for the curves
    assert len(Run(path).metrics["step"]) == 400


def test_a_report_reads_each_row_of_the_metrics_once(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [train(grucli, text_file), train(grucli, text_file)]
    clock, rows = Clock(monkeypatch), [len(Run(run).metrics["step"]) for run in runs]
    assert clock.read == sum(rows)
    report(runs[0])
    assert clock.read == sum(rows) + rows[0]
    report(*runs)
    assert clock.read == 2 * sum(rows) + rows[0]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_with_one_row_ends_with_its_report(
    grucli: Grucli, tmp_path: Path, quiet: bool
) -> None:
    text = tmp_path / "long.txt"
    text.write_text("A line of a text that is long enough.\n" * 2000, "utf-8")
    shape = ("model.hidden=4", "train.batch=16", "train.window=64", "sample.length=0")
    sets = [f"--set={one}" for one in shape]
    done = grucli("train", text, "--steps", "20", *sets, *["--quiet"] * quiet)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert len(set(Run(run).metrics["chars"].tolist())) == 1
    assert quiet or "\nnext\n" in done.err
    assert Page((run / "report.html").read_text("utf-8")).tags.count("polyline") == 9
    for by in ("step", "chars", "time"):
        assert grucli("plot", run, "--by", by).code == 0
    assert "polyline" in Run(run)._repr_html_()


@pytest.mark.parametrize("value", [0.0, -1e15, 1e308, 5e-324, sys.float_info.max])
def test_any_finite_rows_are_drawn(grucli: Grucli, text_file: Path, value: float) -> None:
    run = train(grucli, text_file)
    row = ("train", *[f"{value!r}"] * 6)
    rows = [(str(step), "1", str(chars), *row) for step, chars in ((5, 2**49), (10, 2**49 + 1))]
    rows += [(*rows[0][:3], "val", *rows[0][4:])]
    (run / "metrics.csv").write_text(
        "\n".join(",".join(cells) for cells in [tuple(records.HEADER), *rows]) + "\n"
    )
    assert Page(report(run).html).tags.count("polyline") == 9
    assert grucli("report", run).code == 0
    for by in ("step", "chars", "time"):
        assert grucli("plot", run, "--by", by).code == 0
        assert "polyline" in grucli("plot", run, "--by", by, "-o", "-").out


def test_a_number_of_characters_that_no_run_can_have_is_no_row(
    grucli: Grucli, text_file: Path
) -> None:
    run = train(grucli, text_file)
    metrics = run / "metrics.csv"
    head, first, *rest = metrics.read_text().splitlines(keepends=True)
    before, _, after = first.split(",", 3)[:2], 0, first.split(",", 3)[3]
    metrics.write_text("".join([head, ",".join([*before, "1" + 400 * "0", after]), *rest]))
    with pytest.raises(CheckpointError, match="line 2 is not one that grucli writes"):
        assert Run(run).metrics
    assert grucli("report", run).code == 2
    assert grucli("plot", run, "--by", "chars").code == 2


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "no space left"), ZeroDivisionError("by zero")])
def test_trouble_with_a_report_is_told_and_ends_no_run(
    grucli: Grucli,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    quiet: bool,
    error: Exception,
) -> None:
    def fails(*_: object, **named: object) -> None:
        raise error

    monkeypatch.setattr("grucli.training.session.report", fails)
    done = grucli("train", text_file, "--steps", "20", *TINY, *["--quiet"] * quiet)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert not (run / "report.html").exists()
    assert Run(run).status == "done"
    told = [line for line in done.err.splitlines() if "report.html" in line]
    assert len(told) == 1
    assert f"{run / 'report.html'}: cannot be written: " in told[0]
    assert ("no space left" if isinstance(error, OSError) else "ZeroDivisionError") in told[0]
    assert quiet or f"\nnext\n  grucli sample {run}\n" in done.err
    events = list(train_events(text_file, steps=20, settings=SMALL | {"train.eval_every": 10}))
    assert [type(one) for one in events if isinstance(one, NotReported | Finished)] == [
        NotReported,
        Finished,
    ]


@pytest.mark.parametrize("part", ["conclude_run", "sentences"])
def test_trouble_with_the_conclusion_or_the_chart_is_told_and_ends_no_run(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fails(*_: object, **named: object) -> None:
        raise OverflowError("math range error")

    with monkeypatch.context() as patched:
        patched.setattr(f"grucli.training.session.{part}", fails)
        done = grucli("train", text_file, "--steps", "20", *TINY)
    run = Path(done.out.strip())
    assert done.code == 0, done.err
    assert f"{run}: nothing is concluded from this run: OverflowError" in done.err
    assert f"\nnext\n  grucli sample {run}\n" in done.err
    words = Page((run / "report.html").read_text("utf-8")).words
    assert "statusdone" in words
    monkeypatch.setattr("grucli.cli.plot.text", fails)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    done = grucli("train", text_file, "--steps", "20", *TINY)
    assert done.code == 0, done.err
    assert "the curves cannot be drawn: OverflowError" in done.err
    assert "grucli sample" in done.err


def test_the_last_report_says_how_the_run_has_ended(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = SMALL | {"train.eval_every": 10}

    def shown(run: Path) -> str:
        return Page((run / "report.html").read_text("utf-8")).words

    *_, last = train_events(text_file, steps=20, settings=changes, name="whole")
    assert isinstance(last, Finished)
    words = shown(last.run.path)
    for said in ("statusdone", "step20", "Guessing by frequency", "copies", "surprising"):
        assert said in words, said
    for event in train_events(text_file, steps=20, settings=changes, name="left"):
        if isinstance(event, Stepped) and event.step == 15:
            break
    (left,) = Path("runs").glob("*-left")
    assert Run(left).status == "interrupted"
    assert "statusinterrupted" in shown(left)
    step = Trainer.step
    steps = count()

    def diverges(self: Trainer) -> object:
        if next(steps) == 15:
            raise DivergedError("the loss is nan")
        return step(self)

    monkeypatch.setattr(Trainer, "step", diverges)
    monkeypatch.setattr(Trainer, "_go_back", lambda self, problem: (_ for _ in ()).throw(problem))
    with pytest.raises(DivergedError):
        list(train_events(text_file, steps=20, settings=changes, name="wrong"))
    (wrong,) = Path("runs").glob("*-wrong")
    assert "statusfailed" in shown(wrong)


def test_a_signal_ends_the_conclusion_of_a_run_that_is_done(text_file: Path) -> None:
    asked = prepare(Request(str(text_file), values=SMALL | {"train.steps": 5}))
    seen = list[type]()
    for last in asked.events(stop=lambda: Saved in seen):
        seen.append(type(last))
    assert isinstance(last, Finished)
    assert last.complete
    assert (asked.conclusion, asked.unreported) == (None, "")
    words = Page((last.run.path / "report.html").read_text("utf-8")).words
    assert "statusdone" in words
    assert "Guessing by frequency" not in words


def test_a_report_on_a_smaller_machine_says_what_the_losses_mean(
    grucli: Grucli, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(grucli, text_file)
    monkeypatch.setattr("grucli.training.plan.physical_memory", lambda: 1)
    assert grucli("train", text_file, *TINY, "--dry-run").code == 2
    done = grucli("report", run)
    assert (done.code, done.err) == (0, "")
    assert "Guessing by frequency" in Page((run / "report.html").read_text("utf-8")).words


def test_a_report_without_the_text_says_what_is_missing(grucli: Grucli, text_file: Path) -> None:
    run = train(grucli, text_file)
    text_file.write_text("another text")
    done = grucli("report", run)
    assert done.code == 0
    assert "the report does not say what the losses mean: " in done.err
    assert f"{text_file}: the model never saw the character 'x'" in done.err
    assert "; the text has changed since training" in done.err
    assert "No validation text is shown: " in Page((run / "report.html").read_text("utf-8")).words


def test_a_mean_over_seeds_has_the_colour_of_its_first_run(grucli: Grucli, text_file: Path) -> None:
    worse = [train(grucli, text_file, "--seed", seed, "--set=optim.lr=1e-5") for seed in (1, 2)]
    html = report(train(grucli, text_file), *worse).html
    whole, seeds = html.split("Runs that differ in the seed alone</h2>")
    first = seeds.partition(" and others")[0].rpartition(">")[2]
    swatch = re.compile(r'colour-(\d+)"></i>' + re.escape(first) + "(?=<| and)")
    assert {*swatch.findall(seeds)} == {*swatch.findall(whole)} == {"1"}


def test_runs_with_one_name_are_told_apart(grucli: Grucli, text_file: Path) -> None:
    paths = [Path(folder, "trial-0000") for folder in ("a", "b")]
    for path, rate in zip(paths, ("0.01", "0.02"), strict=True):
        run = train(grucli, text_file, f"--set=optim.lr={rate}", f"--set=optim.warmup={rate[-1]}")
        shutil.copytree(run, path)
    words = Page(report(*paths).html).words
    assert all(str(path) in words for path in paths)
