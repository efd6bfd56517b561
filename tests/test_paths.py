"""The commands of docs/story.md and docs/list.md, with a budget of a moment instead of minutes."""

import re
import shutil
from pathlib import Path

import pytest

from tests.commands import DOCS, run_commands
from tests.conftest import Grucli
from tests.texts import WORDS, prose


def briefly(command: str) -> str:
    command = command.replace("--minutes 1", "--steps 20 --config tiny")
    return command.replace("--minutes 2", "--steps 30")


def test_the_commands_of_the_story(grucli: Grucli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("here").mkdir()
    monkeypatch.chdir("here")
    Path("story.txt").write_text("She opened the door, and " + prose(4000), encoding="utf-8")

    def move(command: str) -> str:
        if command.startswith("grucli runs"):
            Path("../there").mkdir()
            for name in ("runs", "story.txt"):
                shutil.move(name, "../there")
            monkeypatch.chdir("../there")
        return briefly(command)

    shown = [*run_commands("story.md", grucli, move).values()]
    assert len(shown) == 8
    trained, sampled, continued, likely, page, listed, again, resumed = shown
    assert re.fullmatch(r"runs/[\d-]+-story\n", trained.out)
    assert len(sampled.out) > 300
    assert continued.out.count("She opened the door, and ") == 3
    assert likely.out.startswith("character  probability")
    assert page.out == "writes-like-me.html\n"
    assert "<title>It writes like me</title>" in Path("../here/writes-like-me.html").read_text(
        "utf-8"
    )
    assert "-story" in listed.out
    assert len(again.out) > 300
    assert resumed.out == trained.out
    assert not Path("../here/runs").exists()


def test_the_commands_of_the_list(grucli: Grucli) -> None:
    names = [
        f"{one}{other}.{end}" for one in WORDS for other in WORDS[::4] for end in ("com", "io")
    ]
    Path("domains.txt").write_text("\n".join([*names[::2], *names[1::2]]) + "\n", encoding="utf-8")
    Path("taken.txt").write_text("sunriver.com\n", encoding="utf-8")
    Path("ideas.txt").write_text("lightletter.com\nqqq.io\n", encoding="utf-8")
    shown = [*run_commands("list.md", grucli, briefly).values()]
    assert len(shown) == 6
    trained, new, fitting, begun, odd, ideas = shown
    assert f"grucli sample {trained.out.strip()} --count 20\n" in trained.err
    for result in (new, fitting, begun):
        made = result.out.splitlines()
        assert len({*made}) == len(made) == 20
        assert not {*made} & {*names, "sunriver.com"}
    assert all(re.fullmatch(r"[a-z]{5,9}\.(com|net)", one) for one in fitting.out.splitlines())
    assert all(one.startswith("sun") for one in begun.out.splitlines())
    assert len(odd.out.splitlines()) == 21
    assert [line.split("\t")[-1] for line in ideas.out.splitlines()] == [
        "line",
        "lightletter.com",
        "qqq.io",
    ]


def test_the_pages_of_the_paths_are_linked() -> None:
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for page in ("story.md", "list.md", "lecture.md"):
        assert f"(docs/{page})" in readme, page
