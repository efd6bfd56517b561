import re
from typing import Any

import pytest

from grucli.errors import ArgumentError
from grucli.language_model import LanguageModel
from tests.test_language_model import make, of_list

SYMBOLS = "\n !()*-.0123456789@ABMXYZ[]_abcdefghijklmnopqrstuvwxyz{}éÉß٣中文"
PATTERNS = r"""
[A-Z][a-z]+
\w+ \w+
\d{3}-\d{4}
(?i)mar.*
^abc$
(a|b)*c{2,5}
[^\W\d_]{3,8}
a*?b
(?P<n>x)y|
é+
(?i)é{2,}ß
.*(ing|ed)
[\w.]+@[\w.]+\.(com|org)
(a?){20}a{3}
(?:[a-z]{1,5} ){1,3}[a-z]+
[一-龥]{2,3}
\x41\u00e9|\u4e2d\Z
(?s).{3}
(|a)b{,3}
{}x|x{y|x{,y}
[]a]+|[^]a]{2}
(?a)\w{5}
(?#a comment)ab\.c
\t|\n|x
((a*)*)*b
(a|ab)(c|bcd)(d*)
[a-c\-_]*\052{2}
(^a|b)c|[a^]\$|$
(?:ab|cd){2,}?e
""".strip("\n").splitlines()


@pytest.fixture(scope="module")
def texts() -> LanguageModel:
    return make(SYMBOLS)


@pytest.fixture(scope="module")
def lines() -> LanguageModel:
    return of_list(symbols=SYMBOLS)


def made(lm: LanguageModel, count: int = 20, length: int = 16, **asked: Any) -> list[str]:
    return [sample.text for sample in lm.samples(count, length, **{"seed": 1, **asked})]


# ---- every sample matches


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_sample_matches_as_python_says(
    pattern: str, texts: LanguageModel, lines: LanguageModel
) -> None:
    for lm, stop in ((texts, ()), (texts, ["b", "xy"]), (lines, ())):
        try:
            samples = lm.samples(20, 16, pattern=pattern, stop=stop, seed=1)
        except ArgumentError:
            assert stop  # no text that matches is without a stop text
            continue
        for sample in samples:
            assert re.fullmatch(pattern, sample.text), (pattern, sample.text)
            assert len(sample) <= 16
            assert not any(text in sample.text for text in stop)
            assert lm is texts or sample.end_log_prob is not None
