"""Arrays by PyTorch's names; tests/exchange/test_torch_files.py compares them with PyTorch."""

from typing import Any

import numpy as np
import pytest

from grucli.exchange.torch_files import state_dict
from grucli.exchange.torch_names import our_names
from tests.exchange.models import CELLS, checkpoint_of

Named = dict[str, Any]


def arrays(cell: str = "lstm", layers: int = 1) -> Named:
    return dict(state_dict(checkpoint_of(cell, layers).model))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_model_comes_back(cell: str, layers: int) -> None:
    model, named = our_names(arrays(cell, layers))
    expected = checkpoint_of(cell, layers).model
    assert (model.variant, model.hidden, model.layers) == (cell, expected.H, layers)
    assert named.keys() == expected.params.shapes.keys()
    for name, array in expected.params.items():
        np.testing.assert_array_equal(named[name], array)


def test_an_embedding_is_folded_into_the_input_weights() -> None:
    given = arrays()
    E = np.random.default_rng(0).standard_normal((len(given["output.bias"]), 4))
    W = np.random.default_rng(1).standard_normal((36, 4))
    given |= {"recurrent.weight_ih_l0": W, "embedding.weight": E}
    _, named = our_names(given)
    i = named["layer1.W_x"][0]  # the input gate, which is the first there, too
    np.testing.assert_allclose(i, E @ W[:9].T)


def test_one_matrix_may_be_embedding_and_output() -> None:
    given = arrays()
    given["recurrent.weight_ih_l0"] = np.random.default_rng(1).standard_normal((36, 9))
    _, named = our_names(given)
    _, both = our_names(given | {"encoder.weight": given["output.weight"]})
    np.testing.assert_array_equal(named["layer1.W_x"], both["layer1.W_x"])


def test_a_matrix_that_is_named_so_is_an_embedding_whatever_its_size() -> None:
    given, rng = arrays(), np.random.default_rng(2)
    W, E = rng.standard_normal((36, 9)), rng.standard_normal((9, 9))  # as many symbols as units
    given = without(given, "output.weight") | {"recurrent.weight_ih_l0": W}
    _, named = our_names(given | {"embedding.weight": E, "output.bias": np.ones(9)})
    np.testing.assert_allclose(named["layer1.W_x"][0], E @ W[:9].T)
    np.testing.assert_array_equal(named["output.W_hc"], E.T)


def test_biases_may_be_missing() -> None:
    given = {name: array for name, array in arrays("gru-after").items() if "bias" not in name}
    model, named = our_names(given)
    assert model.reset == "after"
    assert not named["layer1.b"].any()
    assert not named["output.b_c"].any()


def without(named: Named, *names: str) -> Named:
    return {name: array for name, array in named.items() if name not in names}


BAD: list[tuple[Any, str]] = [
    (lambda a: without(a, "recurrent.weight_hh_l0"), "no recurrent layer"),
    (lambda a: without(a, "recurrent.weight_ih_l0"), "no recurrent layer"),
    (lambda a: without(a, "output.weight"), "must have a linear layer"),
    (lambda a: a | {"recurrent.weight_hh_l0": np.ones((5, 3))}, "no recurrent layer"),
    (lambda a: a | {"recurrent.weight_hh_l0": np.ones((0, 0))}, "no recurrent layer"),
    (lambda a: a | {"recurrent.weight_hh_l0": np.ones(3)}, "no recurrent layer"),
    (lambda a: a | {"recurrent.bias_ih_l0": np.ones(35)}, r"bias_ih_l0 is \[35\], not \[36\]"),
    (lambda a: a | {"recurrent.weight_hh_l2": np.ones((36, 9))}, "l1 is missing"),
    (lambda a: a | {"recurrent.weight_hh_l0_reverse": np.ones((36, 9))}, "both ends"),
    (lambda a: a | {"recurrent.weight_hr_l0": np.ones((36, 9))}, "projection"),
    (lambda a: a | {"decoder.weight_hh_l0": np.ones((36, 9))}, "more than one recurrent"),
    (lambda a: a | {"norm.weight": np.ones(9), "norm.bias": np.ones(9)}, "it has norm.bias"),
    (lambda a: without(a, "output.bias") | {"norm.weight": np.ones(57)}, "it has norm.weight"),
    (lambda a: a | {"output.bias": np.ones(9)}, r"bias of its linear layer is \[9\], not \[57\]"),
    (lambda a: a | {"more.weight": np.ones((9, 9))}, "it has more.weight"),
    (lambda a: a | {"emb.weight": np.ones((9, 9))}, r"its embedding is \[9, 9\]"),
    (lambda a: a | {"output.bias": np.ones((9, 9, 9))}, "it has output.bias"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_what_has_no_counterpart_is_refused(change: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        our_names(change(arrays()))
