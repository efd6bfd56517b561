"""A folder as the Hugging Face Hub expects one. Nothing is uploaded."""

import json
import math
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from grucli.errors import ArgumentError
from grucli.exchange.description import as_texts, describe
from grucli.exchange.safetensors import dump
from grucli.html import as_html
from grucli.nn.cells import in_words
from grucli.nn.cells.from_file import FILES
from grucli.pages.build import page
from grucli.run.report import report
from grucli.run.run import Run
from grucli.run.writer import new_name
from grucli.text_out import printable


def folder(run: Run, name: str, license: str | None, language: str | None) -> dict[str, bytes]:
    if not license:
        raise ArgumentError("license", "must name the licence of the model, such as mit")
    described = describe(run.checkpoint)
    head, summary = _card(run, name, license, language)
    shown = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    card = Template(files("grucli.exchange").joinpath("hub_card.txt").read_text("utf-8"))
    _, cell = FILES.get(run.lm.model.cell, ("", b""))
    has_report = run.path.is_dir()
    told = {
        "own_cell": " --cell-file cell.py" * bool(cell),
        "code": "\n`cell.py` is a program: read it before you run it." * bool(cell),
        "report": " `report.html` has its curves, settings and samples." * has_report,
        "page": "shows what the model has computed" if cell else "runs the model in a browser",
    }
    texts = {
        "README.md": card.substitute(
            head=shown,
            title=as_html(name),
            summary=summary,
            name=new_name(name, timed=False),
            **told,
        ),
        "config.json": json.dumps({"architectures": ["grucli"], **described}, indent=1) + "\n",
        "page.html": page(run.file).html,
    }
    if has_report:
        texts["report.html"] = report(run.path, public=True).html
    weights = dump(dict(run.lm.model.params.items()), as_texts(described))
    others = {"model.safetensors": weights} | ({"cell.py": cell} if cell else {})
    return {name: text.encode() for name, text in texts.items()} | others


def _card(run: Run, name: str, license: str, language: str | None) -> tuple[dict[str, Any], str]:
    """The head of a model card, and what the model is, in a sentence or two."""
    model, checkpoint, noun = run.lm.model, run.checkpoint, run.noun
    cell, corpus = in_words(model.cell), checkpoint.text_id
    text = " and ".join(map(printable, run.text_names)) or "a text that is not recorded"
    head: dict[str, Any] = {"license": license, "library_name": "grucli"}
    head |= {"language": language} if language else {}
    head |= {
        "pipeline_tag": "text-generation",
        "tags": ["grucli", model.cell.partition("-")[0], f"{noun}-level"],
    }
    summary = (
        f"A language model of {noun}s: {cell}, {model.L} x {model.H} units, "
        f"{run.lm.parameters:,} parameters, a vocabulary of {model.V:,}. It was trained on "
        f"{as_html(text)}{f' ({corpus.chars:,} {noun}s)' * corpus.is_known}."
    )
    if (loss := checkpoint.progress.loss) is None:
        return head, summary
    split, bits = "validation" if checkpoint.settings.data.val else "training", loss / math.log(2)
    metrics = [{"type": f"bits per {noun}", "value": round(bits, 4)}]
    dataset = {"name": text, "type": "text", "split": split}
    task = {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}
    head["model-index"] = [{"name": name, "results": [task]}]
    return head, f"{summary} Its loss on {split} text is {bits:.4f} bits per {noun}."
