import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grucli.config import Data
from grucli.data import windows
from grucli.data.windows import fit_windows, split
from grucli.errors import CorpusError


def ids(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) % 7


def test_splits_follow_one_another() -> None:
    parts = split(ids(1000), Data(val=0.1, test=0.05), None)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [850, 100, 50]
    np.testing.assert_array_equal(np.concatenate([parts.train, parts.val, parts.test]), ids(1000))


def test_the_parts_of_a_list_begin_with_whole_lines() -> None:
    text = np.frombuffer(b"".join(b"name %03d\n" % number for number in range(100)), np.uint8)
    data = Data(val=0.105, test=0.052, documents="line")
    parts = split(text, data, ord("\n"))
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [756, 90, 54]
    assert all(bytes(part).startswith(b"name ") for part in (parts.val, parts.test))
    whole = [len(part) for part in vars(split(text, Data(val=0.105), ord("\n"))).values()]
    assert whole == [806, 94, 0]  # a text that is not a list is split where it is


@pytest.mark.parametrize(("val", "sizes"), [(0.0, [22, 0, 0]), (0.3, [12, 10, 0])])
def test_the_last_line_of_a_list_needs_no_line_end(val: float, sizes: list[int]) -> None:
    text = np.frombuffer(b"one\ntwo\nsix\nmany words", np.uint8)
    parts = split(text, Data(val=val, documents="line"), ord("\n"))
    assert [len(part) for part in vars(parts).values()] == sizes


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    val=st.floats(0, 0.5),
    test=st.floats(0, 0.45),
)
def test_the_parts_of_a_list_have_two_characters_or_are_refused(
    lengths: list[int], val: float, test: float
) -> None:
    text = np.frombuffer(b"".join(b"x" * length + b"\n" for length in lengths), np.uint8)
    data = Data(val=val, test=test, documents="line")
    try:
        parts = split(text, data, ord("\n"))
    except CorpusError:
        return
    np.testing.assert_array_equal(np.concatenate(list(vars(parts).values())), text)
    assert len(parts.train) >= 2
    for part, share in ((parts.val, val), (parts.test, test)):
        assert len(part) >= 2 if share else len(part) == 0


def test_lines_that_are_longer_than_a_part_are_refused() -> None:
    text = np.frombuffer((b"x" * 61 + b"\n") * 2, np.uint8)
    with pytest.raises(CorpusError) as caught:
        split(text, Data(val=0.2, test=0.2, documents="line"), ord("\n"))
    assert "data.val=0.2 takes 0 and data.test=0.2 takes 62; 62 remain" in str(caught.value)
    assert "begins with a whole line" in str(caught.value)


def test_a_part_of_a_list_keeps_two_characters() -> None:
    text = np.frombuffer(b"\nlong enough line", np.uint8)
    assert len(split(text, Data(val=0.5, documents="line"), ord("\n")).train) == 9


def test_a_list_whose_first_line_is_long_is_split_after_it() -> None:
    text = np.frombuffer(b"the first line is long\nab\ncd\n", np.uint8)
    parts = split(text, Data(val=0.5, documents="line"), ord("\n"))
    assert bytes(parts.val) == b"ab\ncd\n"


def test_a_list_of_one_line_is_split_inside_it() -> None:
    text = np.frombuffer(b"one line and no other\n", np.uint8)
    assert len(split(text, Data(val=0.1, documents="line"), ord("\n")).val) == 2


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([10, 10, 10], [20, 10]), ([2, 90, 3, 5], [92, 8]), ([95, 5], [95, 5]), ([50, 50], [50, 50])],
)
def test_no_document_is_cut(
    lengths: list[int], sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = np.frombuffer(b"".join(b"x" * (one - 1) + b"\x1e" for one in lengths), np.uint8)
    for searched in (1, 7, 2**16):
        monkeypatch.setattr(windows, "LONGEST_LINE", searched)
        parts = split(text, Data(val=0.1, documents="file"), 0x1E)
        assert [len(parts.train), len(parts.val)] == sizes


def test_documents_that_are_longer_than_a_part_are_refused() -> None:
    text = np.frombuffer((b"x" * 49 + b"\x1e") * 2, np.uint8)
    with pytest.raises(CorpusError, match="begins with a whole paragraph"):
        split(text, Data(val=0.1, test=0.1, documents="paragraph"), 0x1E)


def test_no_validation_text_is_allowed() -> None:
    parts = split(ids(10), Data(val=0.0), None)
    assert (len(parts.train), len(parts.val)) == (10, 0)


def test_too_small_shows_the_arithmetic() -> None:
    with pytest.raises(CorpusError) as caught:
        split(ids(9), Data(val=0.1), None)
    assert "9 characters, of which data.val=0.1 takes 1" in str(caught.value)
    assert "8 remain for training" in str(caught.value)
    assert "set data.val or data.test to 0" in str(caught.value)


def test_one_symbol_only() -> None:
    with pytest.raises(CorpusError, match="only one symbol, 50 times"):
        split(np.zeros(50, np.uint8), Data(), None)


@given(st.integers(2, 3000), st.integers(1, 70), st.integers(1, 140))
def test_an_epoch_reads_each_stream_once_and_in_order(N: int, B: int, T: int) -> None:
    text = np.arange(N)
    windows = fit_windows(text, B, T)
    assert 1 <= windows.B <= B
    assert 1 <= windows.T <= T
    pairs = [windows.window(number) for number in range(windows.per_epoch)]
    lengths = {len(x) for x, _ in pairs}
    assert max(lengths) <= windows.T
    assert max(lengths) - min(lengths) <= 1
    x, targets = (np.concatenate(part) for part in zip(*pairs, strict=True))
    np.testing.assert_array_equal(x + 1, targets)
    np.testing.assert_array_equal(x.T.ravel(), np.arange(windows.chars_until(windows.per_epoch)))
    assert N - 1 - windows.chars_until(windows.per_epoch) < windows.B


def test_small_texts_shrink_batch_and_window_and_large_ones_do_not() -> None:
    large = fit_windows(ids(100_000), 64, 128)
    assert (large.B, large.T) == (64, 128)
    small = fit_windows(ids(5_000), 64, 128)
    assert (small.B, small.T) == (8, 32)
    tiny = fit_windows(ids(12), 64, 128)
    assert tiny.B * tiny.T <= 11
    assert tiny.per_epoch >= 1


def test_symbols_are_counted_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CHUNK", 10)
    np.testing.assert_array_equal(windows.count_symbols(ids(100), 9), [15, 15, *[14] * 5, 0, 0])


def test_a_window_is_a_copy_in_the_type_of_the_text() -> None:
    text = np.arange(200, dtype=np.uint8)
    for B in (1, 4):
        x, targets = fit_windows(text, B, 10).window(0)
        assert x.dtype == targets.dtype == np.uint8
        assert not np.shares_memory(x, text)
