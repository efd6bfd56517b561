"""Lines of two kinds told apart: two models against a logistic regression on n-grams.

``python -m benchmarks.telling_apart FIRST SECOND`` takes lines of two lists, such as word lists of
two languages, and holds a fifth of them out. One model is trained on each list. The score of a line
is its log-likelihood ratio. The regression knows which character 1-to-4-grams a line has, with
marks at its ends; its penalty is chosen by cross-validation. It needs scikit-learn.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import grucli
from benchmarks.page import table, write

LINES = 16_000  # of each list
HELD_OUT = 0.2
DROPOUT = {"model.dropout": 0.4, "model.weight_dropout": 0.4}  # by the loss on validation text

Figures = npt.NDArray[np.float64]


def sampled(path: Path, count: int, seed: int) -> list[str]:
    """Different lines of a list, in random order."""
    lines = sorted({line for line in path.read_text(encoding="utf-8").splitlines() if line})
    chosen = np.random.default_rng(seed).permutation(len(lines))[:count]
    return [lines[number] for number in chosen]


def area(of_first: Figures, of_second: Figures) -> float:
    """Area under the ROC curve: how often a line of the first kind has the higher figure."""
    ordered = np.sort(of_second)
    below = np.searchsorted(ordered, of_first, "left") + np.searchsorted(ordered, of_first, "right")
    return float(below.mean() / 2 / len(ordered))


def model_of(lines: Sequence[str], folder: Path, minutes: float, seed: int) -> Path:
    """A run that was trained on lines."""
    text = folder / "list.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"data.documents": "line", "train.seed": seed, "sample.length": 0} | DROPOUT
    runs = folder / "runs"
    return grucli.train(text, minutes=minutes, settings=settings, runs_dir=runs).path


def by_models(
    train: Sequence[Sequence[str]], test: Sequence[Sequence[str]], minutes: float, seed: int
) -> tuple[float, float]:
    """The area for the held-out lines, and the seconds to score them."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [model_of(lines, Path(folder), minutes, seed) for lines in train]
        first, second = map(grucli.load, runs)
        began = time.perf_counter()
        ratios = [
            second.score_lines(lines, unknown="floor") - first.score_lines(lines, unknown="floor")
            for lines in test
        ]
        return area(*ratios), time.perf_counter() - began


def by_regression(
    train: Sequence[Sequence[str]], test: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """The area for the held-out lines, and the seconds of training."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    began = time.perf_counter()
    grams = CountVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=False, binary=True)
    pipeline = make_pipeline(grams, LogisticRegression(max_iter=1000))
    penalties = {"logisticregression__C": [0.1, 0.3, 1.0, 3.0, 10.0]}
    search = GridSearchCV(pipeline, penalties, scoring="roc_auc", cv=3)
    first, second = (marked(lines) for lines in train)
    search.fit([*first, *second], [1] * len(first) + [0] * len(second))
    seconds = time.perf_counter() - began
    return area(*(search.decision_function(marked(lines)) for lines in test)), seconds


def marked(lines: Sequence[str]) -> list[str]:
    """Lines with marks at both ends."""
    return [f"\n{line}\n" for line in lines]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0, help="training of each model")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        lists = [sampled(path, LINES, seed) for path in (given.first, given.second)]
        cut = round(min(map(len, lists)) * (1 - HELD_OUT))
        train, test = [lines[:cut] for lines in lists], [lines[cut:] for lines in lists]
        regression, seconds = by_regression(train, test)
        models, scoring = by_models(train, test, given.minutes, seed)
        figures = f"{models:.4f}", f"{regression:.4f}", f"{scoring:.1f} s", f"{seconds:.1f} s"
        rows.append([str(seed), f"{2 * cut:,}", f"{sum(map(len, test)):,}", *figures])
        print(rows[-1], flush=True)
    header = ["seed", "lines to train", "held out", "two models, AUC", "regression, AUC"]
    header += ["scoring, two models", "training, regression"]
    names = f"{given.first.name} and {given.second.name}; {given.minutes:g} min for each model."
    write("telling-apart", f"{table(header, rows)}\n\n{names}")


if __name__ == "__main__":
    main()
