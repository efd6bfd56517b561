"""Reading a text, and what is said of one that cannot be read."""

import pytest

from grucli.config import Data
from grucli.data.corpus import Corpus, read
from grucli.errors import CorpusError


def text_of(read_corpus: Corpus) -> str:
    return read_corpus.vocabulary.decode(read_corpus.ids).decode()


def problem(*sources: object, **data: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read([str(source) for source in sources], Data(**data))
    return str(caught.value)
