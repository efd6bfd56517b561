"""The settings of a run: their types, ranges and meaning, and the sources of their values.

Precedence: defaults < defaults for the text's length (``defaults``) < settings file < ``--set`` and
flags. The sentence under a field is its help in ``--print-config`` and in every settings file.
"""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from grucli.errors import SettingsError
from grucli.nn.cells import basic, in_words
from grucli.safe_yaml import YamlError, is_number, load

BUDGETS = ("steps", "epochs", "minutes")
BUDGET_KEYS = ("train.steps", "train.epochs", "train.minutes")
DEFAULT_EPOCHS = 16.0
LARGEST_FILE = 2**17  # bytes: enough for the longest prompt, with every character escaped
MANY = 10**12  # upper bound of the counts that have no smaller one
LONGEST_SHOWN = 80  # characters of a value in a message
MOST_SHOWN = 50  # problems in a message, which only counts the others
HELD_OUT = {"val": "validation", "test": "test"}  # the texts that are not trained on
NOUNS = {"char": "character", "byte": "byte"}  # a symbol by ``data.level``: what losses are per

Share = Annotated[float, Field(ge=0, lt=1)]
Influence = Literal["weights", "later", "rounding", "nothing"]
"""What a setting influences: all weights; the weights of later steps alone, so that it may change
when a run is resumed; only how products and sums are rounded; or nothing that is learned."""


def _setting(default: Any, influences: Influence = "weights", **limits: Any) -> Any:
    return Field(default=default, json_schema_extra={"influences": influences}, **limits)


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Data(_Section):
    level: Literal["char", "byte"] = "char"
    """Symbols of the model: the characters of a text, or the bytes of any file."""
    encoding: str = "utf-8"
    """Encoding of the corpus; ignored at level byte."""
    newlines: Literal["unify", "keep"] = "unify"
    r"""unify: \r\n and \r are read as \n; keep: they are symbols. Level byte keeps every byte."""
    min_count: int = Field(default=1, ge=1, le=MANY)
    """Characters with fewer occurrences in the text are all read as one unknown character."""
    documents: Literal["line", "paragraph", "file"] | None = None
    """line, paragraph, file: each is a document, and so is a sample; null: the text is one."""
    separator: str | None = Field(default=None, min_length=1, max_length=1000)
    """Text that separates documents, such as <|end|>; instead of data.documents."""
    val: float | tuple[str, ...] = 0.1
    """For validation: a fraction of the corpus, its end or before the test text; or files."""
    test: float | tuple[str, ...] = 0.0
    """For `grucli eval RUN --split test`: a fraction of the corpus, at its end; or files."""

    @property
    def noun(self) -> str:
        """What a symbol is: "character" or "byte"."""
        return NOUNS[self.level]

    @property
    def document(self) -> str | None:
        """What a document is: "line", "paragraph", "file" or "document"; None: no documents."""
        return self.documents if self.separator is None else "document"

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """The files and directories for "val" and "test", where they are no part of the corpus."""
        return {name: one for name in HELD_OUT if isinstance(one := getattr(self, name), tuple)}

    def without_folders(self) -> "Data":
        """The same with the names of these files alone, for what others will read."""
        names = {key: tuple(Path(one).name for one in files) for key, files in self.files.items()}
        return self.model_copy(update=names)

    @field_validator("val", "test", mode="before")
    @classmethod
    def _fraction_or_files(cls, value: Any) -> float | tuple[str, ...]:
        if type(value) in (int, float) and 0 <= value < 1:
            return float(value)
        names = [value] if isinstance(value, str) else value
        listed = isinstance(names, list | tuple) and len(names) > 0
        if listed and all(name and isinstance(name, str) for name in names):
            if any(name != name.encode(errors="replace").decode() for name in names):
                raise ValueError(f"{names!a}: a name that is not UTF-8; rename the file")
            return tuple(map(os.path.abspath, names))
        raise ValueError(f"must be at least 0 and below 1, or a list of paths, not {_shown(value)}")

    @model_validator(mode="after")
    def _check(self) -> "Data":
        if sum(one for one in (self.val, self.test) if isinstance(one, float)) >= 1:
            raise ValueError(f"val + test must be below 1, not {self.val} + {self.test}")
        if self.min_count > 1 and self.level == "byte":
            raise ValueError("min_count is for characters; set data.level=char, or min_count=1")
        if self.documents is not None and self.separator is not None:
            raise ValueError("documents and separator are both given; set one of them to null")
        return self

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(
                f"Python knows no text encoding named {encoding!r}; "
                "common ones: utf-8, utf-16, cp1252, latin-1, shift_jis, gb18030"
            ) from None
        return encoding


class Model(_Section):
    cell: str = "gru"
    """The recurrent cell: gru, lstm or rnn."""
    reset: Literal["before", "after"] = "before"
    """Where a GRU's reset gate acts: before the matrix product, or after it as in PyTorch."""
    hidden: int = Field(default=256, ge=1, le=65536)
    """Units of each layer (H). More units learn more; the time grows with their square."""
    layers: int = Field(default=1, ge=1, le=64)
    """Number of layers (L)."""
    dropout: Share = 0.3
    """Fraction of each layer's outputs that is set to zero at random; reduces overfitting."""
    weight_dropout: Share = 0.0
    """Fraction of the recurrent weights that is set to zero at random for each window."""

    @property
    def variant(self) -> str:
        """The name of the cell in ``grucli.nn.cells``."""
        return f"{self.cell}-after" if self.reset == "after" else self.cell

    @property
    def in_words(self) -> str:
        return f"{in_words(self.variant)} {self.layers}x{self.hidden}"

    @field_validator("cell")
    @classmethod
    def _known(cls, cell: str) -> str:
        if cell not in basic():
            names = " or ".join(map(repr, basic()))
            raise ValueError(f"must be {names}, not {cell!r}; --cell-file reads one of your own")
        return cell

    @model_validator(mode="after")
    def _reset_of_a_gru(self) -> "Model":
        if self.reset == "after" and self.cell != "gru":
            raise ValueError(
                f"reset belongs to the GRU; an {in_words(self.cell)} has no reset gate"
            )
        return self


class Train(_Section):
    batch: int = Field(default=64, ge=1, le=65536)
    """Number of streams (B): equal parts of the text that are read in parallel."""
    window: int = Field(default=128, ge=1, le=65536)
    """Characters of each stream per update (T); the gradient goes no further back."""
    steps: int | None = _setting(None, "later", ge=1, le=MANY)
    """Budget in updates; set only one of steps, epochs and minutes."""
    epochs: float | None = _setting(None, "later", gt=0, le=1e6)
    """Budget in passes over the training text."""
    minutes: float | None = _setting(None, "later", gt=0, le=1e7)
    """Budget in minutes, with the final evaluation; the learning rate follows the clock."""
    most_epochs: float | None = _setting(None, "later", gt=0, le=1e6)
    """Maximum passes over the training text in a budget of minutes; null: the time ends it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of all random numbers: initial weights, dropout and samples."""
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = _setting("auto", "rounding")
    """Processes that share a batch; auto: one per core, with at least 16 streams each."""
    products: Literal["auto", "numpy", "onednn"] = _setting("auto", "rounding")
    """Library of the matrix products; auto: oneDNN if it is installed and the CPU has AVX-512."""
    precision: Literal["auto", "float32", "bfloat16"] = _setting("auto", "rounding")
    """Precision of the factors of products; auto: bfloat16 where oneDNN is faster with it."""
    compiled: Literal["auto", True, False] = _setting("auto", "rounding")
    """Compile what lies between the products; auto: if Numba is installed."""
    log_every: int = _setting(50, "nothing", ge=1, le=MANY)
    """Steps between rows of the training loss in metrics.csv."""
    eval_every: int | None = _setting(None, "later", ge=1, le=MANY)
    """Steps between evaluations; null: early, then once per epoch, or tenth of a run."""
    sample_every: int | None = _setting(None, "nothing", ge=1, le=MANY)
    """Steps between samples; null: at each evaluation."""
    save_minutes: float = _setting(5.0, "nothing", gt=0)
    """Maximum minutes between checkpoints; each evaluation also writes one."""
    keep: int = _setting(2, "nothing", ge=0, le=MANY)
    """Number of checkpoints to keep in addition to the first, the best and the last."""
    patience: int = _setting(0, "later", ge=0, le=MANY)
    """Stop after this many evaluations without a new best loss; 0: never."""

    @model_validator(mode="before")
    @classmethod
    def _default_budget(cls, values: Any) -> Any:
        if isinstance(values, dict) and all(values.get(key) is None for key in BUDGETS):
            return values | {"epochs": DEFAULT_EPOCHS}
        return values

    @model_validator(mode="after")
    def _one_budget(self) -> "Train":
        budgets = [key for key in BUDGETS if getattr(self, key) is not None]
        if len(budgets) > 1:
            raise ValueError(f"{' and '.join(budgets)} are both given; keep one")
        return self


class Optim(_Section):
    lr: float = _setting(0.08, "later", gt=0)
    """Learning rate after the warm-up; a wider or deeper network needs a lower one."""
    recurrent_lr: float = _setting(0.4, "later", gt=0)
    """Learning rate of the weights between units, as a fraction of lr: they diverge first."""
    input_lr: float = _setting(2.0, "later", gt=0)
    """Learning rate of the weights that a character selects, as a multiple of lr."""
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.99)
    """Adam's decay rates for the mean of the gradient and for the mean of its square."""
    eps: float = Field(default=1e-8, ge=1e-30)  # and so above 0 in float32
    """Adam's epsilon, which prevents a division by zero."""
    clip: float = Field(default=1.0, gt=0)
    """Maximum global norm of the gradient; a larger gradient is scaled down to it."""
    schedule: Literal["cosine", "constant"] = _setting("cosine", "later")
    """Schedule of the learning rate after the warm-up."""
    warmup: int = Field(default=50, ge=0, le=MANY)
    """Steps of the warm-up, in which the learning rate rises from zero to lr."""
    final_lr: float = _setting(0.01, "later", ge=0, le=1)
    """Learning rate at the end of the cosine schedule, as a fraction of lr."""
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    """Decoupled weight decay, as in AdamW; it is multiplied by the learning rate; 0: none."""


class Sample(_Section):
    length: int = _setting(300, "nothing", ge=0, le=10**6)
    """Characters of each sample; 0: no samples."""
    temperature: float = _setting(0.8, "nothing", ge=0)
    """Below 1: more predictable text; above 1: more varied; 0: always the likeliest character."""
    prompt: str = _setting("", "nothing", max_length=10_000)
    """Text that each sample continues."""


class Settings(_Section):
    data: Data = Data()
    """The text, and how it is split."""
    model: Model = Model()
    """The network."""
    train: Train = Train()
    """The length of training and the size of its steps."""
    optim: Optim = Optim()
    """The optimizer, its learning rate and its regularization."""
    sample: Sample = Sample()
    """The samples written during training."""


# settings that no longer exist, with the values that had no effect, as older files have them
FORMER = {"model.locked": False, "optim.name": "adam", "optim.ema": 0.0, "optim.muon": False}
# what runs had that began before these settings
BEFORE = {"data.newlines": "keep", "optim.recurrent_lr": 1.0, "optim.input_lr": 1.0}
Values = dict[str, Any]  # settings by dotted key, such as {"train.batch": 64}


def _influences() -> Iterator[tuple[str, Influence]]:
    for section, values in Settings():
        for key, field in type(values).model_fields.items():
            extra: Any = field.json_schema_extra or {"influences": "weights"}
            yield f"{section}.{key}", extra["influences"]


INFLUENCES = dict(_influences())  # what each setting influences, by dotted key


def flatten(settings: Settings) -> Values:
    return {
        f"{section}.{key}": value
        for section, keys in settings.model_dump(mode="json").items()
        for key, value in keys.items()
    }


def resolve(layers: Sequence[tuple[str, Values]], base: Settings | None = None) -> Settings:
    """Merge layers, (source, values by dotted key), into ``base`` or the defaults; the last win."""
    merged: Values = {} if base is None else flatten(base)
    origin: dict[str, str] = {}
    problems: list[str] = []
    for source, layer in layers:
        values = without_former(layer)
        problems += [
            f"{source}: unknown key {short(key)}{_nearest(key)}"
            for key in values
            if key not in INFLUENCES
        ]
        budgets = [key for key in BUDGET_KEYS if values.get(key) is not None]
        if len(budgets) > 1:
            problems.append(f"{source}: {' and '.join(budgets)} are both given; keep one")
        replaced = BUDGET_KEYS if budgets else [key for key in BUDGET_KEYS if key in values]
        merged = {key: value for key, value in merged.items() if key not in replaced}
        merged |= {key: values[key] for key in budgets[:1]}
        merged |= {key: value for key, value in values.items() if key not in BUDGET_KEYS}
        origin |= dict.fromkeys(values, source)
    sections: dict[str, Values] = {}
    for key, value in merged.items():
        if key in INFLUENCES:
            section, _, name = key.partition(".")
            sections.setdefault(section, {})[name] = value
    try:
        settings = Settings.model_validate(sections)
    except ValidationError as error:
        problems += _explain(error.errors(), origin)
    if problems:
        more = problems[MOST_SHOWN:]
        rest = [f"and {len(more)} more problems"] if more else []
        raise SettingsError("\n".join([*problems[:MOST_SHOWN], *rest]))
    return settings


def held_out_files(values: Mapping[str, Any]) -> Values:
    """The files to validate and to test on, which may lie elsewhere later, by dotted key."""
    named = {f"data.{name}": values.get(f"data.{name}") for name in HELD_OUT}
    return {key: one for key, one in named.items() if isinstance(one, list)}


def without_former(values: Mapping[str, Any], section: str = "") -> Values:
    """The values without former settings; those of a section have keys without its name."""
    return {key: one for key, one in values.items() if (section + key, one) not in FORMER.items()}


def shipped() -> dict[str, Path]:
    """The settings files that come with grucli, by name: tiny, small, medium and large."""
    package = Path(__file__).parent  # an editable installation has them beside it
    folders = (package / "configs", package.parent / "configs")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def read_file(path: Path) -> Values:
    """Read the settings in a YAML file, or in a shipped one of that name, by dotted key."""
    if not os.path.lexists(path):
        path = shipped().get(str(path), path)
    loaded = read_yaml(path)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(
        keys is None or isinstance(keys, dict) for keys in loaded.values()
    ):
        raise SettingsError(
            f"{path}: settings must be in sections ({', '.join(Settings.model_fields)}); "
            "`grucli train --print-config` shows the format"
        )
    return {
        f"{section}.{key}": value
        for section, keys in loaded.items()
        for key, value in (keys or {}).items()
    }


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; a SettingsError says what is wrong, and where."""
    try:
        return load(_read(path))
    except YamlError as error:
        raise SettingsError(f"{path}:{error.line}:{error.column}: {error.problem}") from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        known = f"; {', '.join(shipped())} come with grucli" if "." not in path.name else ""
        raise SettingsError(
            f"{path}: cannot read the settings file: {error.strerror}{known}"
        ) from None
    if len(raw) > LARGEST_FILE:
        raise SettingsError(
            f"{path}: larger than {LARGEST_FILE // 1024} KiB; this is not a settings file"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise SettingsError(
            f"{path}:{line}:{column}: cannot read the settings file: it is not UTF-8 text"
        ) from None


def parse_override(text: str) -> Values:
    """The key and the value of one ``--set section.key=value``."""
    key, equals, value = text.partition("=")
    if not equals or key.count(".") != 1:
        raise SettingsError(
            f"--set {short(text)}: write --set section.key=value, as in train.batch=32"
        )
    try:
        loaded = load(value)
        if loaded is None and value.strip().lower() not in ("", "~", "null"):
            raise YamlError("it marks nothing but the start of a document, or a comment", 1, 1)
        return {key.strip(): loaded}
    except YamlError as error:
        raise SettingsError(
            f"--set {short(text)}: {_shown(value)} is not a YAML value; quote it "
            f"(line {error.line}, column {error.column}: {error.problem})"
        ) from None


def to_yaml(settings: Settings, only: Collection[str] | None = None) -> str:
    """YAML that ``read_file`` accepts, of all keys or some, with the help of each above it."""
    lines: list[str] = []
    for section, values in settings:
        kept = [(key, one) for key, one in values if only is None or f"{section}.{key}" in only]
        if kept:
            lines += ["", f"# {Settings.model_fields[section].description or ''}", f"{section}:"]
        for key, value in kept:
            help_text = type(values).model_fields[key].description or ""
            lines += [f"  # {help_text}", f"  {key}: {to_scalar(value)}"]
    return "\n".join(lines[1:]) + "\n"


def changes(old: Settings, new: Settings) -> Values:
    """The new values of the settings that differ."""
    before = flatten(old)
    return {key: value for key, value in flatten(new).items() if value != before[key]}


def in_our_words(message: str) -> str:
    """A message of pydantic."""
    for theirs, ours in (("Value error, ", ""), ("Input should be ", "must be ")):
        message = message.replace(theirs, ours)
    return message.replace("String should have ", "must have ")


def _explain(items: Sequence[ErrorDetails], origin: Mapping[str, str]) -> list[str]:
    """One line per key: where it was set, what it must be, what it is."""
    messages: dict[str, list[str]] = {}
    inputs: dict[str, str] = {}
    for item in items:
        key = ".".join(str(part) for part in item["loc"][:2])
        message = in_our_words(item["msg"])
        if key == "optim.betas":
            message = "must be two numbers in [0, 1), as in [0.9, 0.99]"
        messages.setdefault(key, []).append(message)
        if item["type"] != "value_error":
            inputs[key] = f", not {_shown(item['input'])}"
    return [
        f"{_source(key, origin)}: {key}: {' or '.join(dict.fromkeys(texts))}{inputs.get(key, '')}"
        for key, texts in messages.items()
    ]


def _source(key: str, origin: Mapping[str, str]) -> str:
    sources = [source for name, source in origin.items() if f"{name}.".startswith(f"{key}.")]
    return sources[-1] if sources else "settings"


def _nearest(key: str) -> str:
    section, _, name = key.partition(".")
    siblings = [other for other in INFLUENCES if other.startswith(f"{section}.")]
    names = [other.removeprefix(f"{section}.") for other in siblings]
    close = [other for other in INFLUENCES if other.endswith(f".{name}")]
    close += [f"{section}.{other}" for other in difflib.get_close_matches(name, names, n=1)]
    close += difflib.get_close_matches(key, list(INFLUENCES), n=1, cutoff=0.7)
    if close:
        return f"; did you mean {close[0]}?"
    if siblings:
        return f"; {section} has {', '.join(siblings)}"
    return f"; the sections are {', '.join(Settings.model_fields)}"


def short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _shown(value: Any) -> str:
    try:
        return short(repr(value))
    except ValueError:  # Python refuses to print numbers of thousands of digits
        return "a number of thousands of digits"


def to_scalar(value: Any) -> str:
    """A value as YAML on one line, from which the same value is read back."""
    value = list(value) if isinstance(value, tuple) else value
    # double quotes escape unprintable characters, which YAML would otherwise fold or refuse
    quoted = isinstance(value, str) and (not value.isprintable() or is_number(value))
    dumped = yaml.safe_dump(
        value,
        allow_unicode=True,
        width=10**9,
        default_style='"' if quoted else None,
        default_flow_style=True,
    )
    return dumped.removesuffix("\n...\n").strip()
