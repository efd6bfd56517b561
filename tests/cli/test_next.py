"""``grucli next``."""

import json
from pathlib import Path

import pytest

import grucli as library
from tests.cli.helpers import LIST, refusal, trained_on, write
from tests.conftest import Grucli


def test_the_likeliest_characters_are_shown(grucli: Grucli, trained: Path) -> None:
    lm = library.load(trained)
    found = lm.next("the ")
    header, *lines = grucli("next", trained, "--prompt", "the ", "--top=3").out.splitlines()
    assert header.split() == ["character", "probability", "log_prob"]
    for number, line in enumerate(lines[:3]):
        _, probability, log_prob = line.split()
        assert float(probability) == pytest.approx(found.probabilities[number], abs=1e-5)
        assert float(log_prob) == pytest.approx(found.log_probs[number], abs=1e-3)
    assert lines[3].split()[:2] == [str(len(lm.vocabulary) - 3), "others"]
    assert float(lines[3].split()[2]) == pytest.approx(found.probabilities[3:].sum(), abs=1e-5)
    every = grucli("next", trained, "--prompt", "the ", "--top=1000").out
    assert "others" not in every
    assert "\u2420" in every  # a space
    assert "\u240a" in every
    assert len(every.splitlines()) == 1 + len(lm.vocabulary)
    usual = grucli("next", trained, "--prompt", "the ").out.splitlines()
    assert (len(usual), usual[-1].split()[0]) == (22, str(len(lm.vocabulary) - 20))


def test_json_has_all_characters(grucli: Grucli, trained: Path) -> None:
    records = json.loads(grucli("next", trained, "-p", "the ", "--json").out)["next"]
    assert sum(record["probability"] for record in records) == pytest.approx(1)
    assert (
        "".join(record["char"] for record in records) == library.load(trained).next("the ").symbols
    )
    first = json.loads(grucli("next", trained, "-p", "the ", "--json", "--top=2").out)["next"]
    assert first == records[:2]


def test_prompts(grucli: Grucli, trained: Path) -> None:
    shown = grucli("next", trained, "--prompt", "the").out
    assert grucli("next", trained, "--prompt-file", write("prompt.txt", "the")).out == shown
    long = grucli("next", trained, "--prompt-file", write("long.txt", "the river " * 10_000))
    assert long.code == 0
    empty = json.loads(grucli("next", trained, "--json").out)["next"]
    counts = library.load(trained).counts
    assert empty[0]["probability"] == pytest.approx(counts.max() / counts.sum(), abs=1e-3)
    message = refusal(grucli, "next", trained, "--prompt", "thé")
    assert "prompt: the model never saw the character 'é'" in message
    bad = write("bad.txt", b"a\xff")
    assert "bad.txt: byte 0xff" in refusal(grucli, "next", trained, "--prompt-file", bad)
    skipped = grucli("next", trained, "--prompt", "thée", "--unknown=skip")
    assert skipped.out == shown
    assert "1 characters that the model does not know are left out" in skipped.err


def test_a_document_may_end_next(grucli: Grucli) -> None:
    run = trained_on(grucli, write("list.txt", LIST), "--set=data.documents=line", "--steps=3")
    assert "\u240a" in grucli("next", run, "--top=100").out


def test_bytes_have_names(grucli: Grucli) -> None:
    byte = trained_on(grucli, write("b.txt", "aé " * 300), "--set=data.level=byte", "--steps=1")
    out = grucli("next", byte, "--prompt", "a").out
    assert out.split()[0] == "byte"
    assert {line.split()[0] for line in out.splitlines()[1:]} == {"a", "c3", "a9", "\u2420"}
    records = json.loads(grucli("next", byte, "--json").out)["next"]
    assert {record["byte"] for record in records} == {0x61, 0xC3, 0xA9, 0x20}


def test_what_is_left_out_of_a_prompt_is_told(grucli: Grucli) -> None:
    rare = trained_on(grucli, write("r.txt", "xy" + "ab " * 300), "--set=data.min_count=2")
    for command in (["next"], ["sample", "--length=1"]):
        notes = grucli(*command, rare, "--prompt", "a\ufffdq", "--unknown=skip").err
        assert "prompt: 1 rare or new characters are read as one unknown character" in notes
        assert "prompt: 1 characters that the model does not know are left out" in notes
