"""Which backend is selected; skipped where oneDNN cannot be used."""

import pytest

from grucli.nn import onednn
from grucli.nn.backend import NUMPY, Backend, select, usable
from grucli.nn.onednn import Unavailable

try:
    usable()
except Unavailable as reason:
    pytest.skip(f"oneDNN: {reason}", allow_module_level=True)


def test_what_was_asked_for_is_selected_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert select("numpy", "auto") == NUMPY
    assert select("auto", "float32") == select("onednn", "float32") == Backend("onednn")
    with pytest.raises(Unavailable, match="need oneDNN"):
        select("numpy", "bfloat16")
    found = onednn.load()
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=onednn.HAS_BFLOAT16 | 0x27))
    assert select("auto", "auto") == Backend("onednn", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x27))
    assert select("auto", "auto") == Backend("onednn", "float32")
    with pytest.raises(Unavailable, match="AVX512-BF16"):
        select("auto", "bfloat16")
    monkeypatch.setattr(onednn, "load", lambda: found._replace(isa=0x7))
    assert select("auto", "auto") == NUMPY
    with pytest.raises(Unavailable, match="no AVX-512"):
        select("onednn", "auto")
