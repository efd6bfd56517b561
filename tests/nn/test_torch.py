"""Agreement with torch.nn in float64, where torch is installed."""

from typing import Any

import numpy as np
import pytest

from grucli.nn.gradcheck import toy

torch = pytest.importorskip("torch")

H = 5
ORDER = {"gru-after": (1, 0, 2), "lstm": (0, 1, 3, 2), "rnn": (0,)}
"""Where torch's gates stand among ours: r, z, n; i, f, g, o."""
SIGN = {"gru-after": (1.0, -1.0, 1.0)}
"""torch's update gate keeps where ours writes: it is 1 - z."""
LAYERS = {"gru-after": "GRU", "lstm": "LSTM", "rnn": "RNN"}


def stacked(cell: str, array: Any) -> Any:
    """Weights (G, D, H) or biases (G, H) as torch stacks them."""
    order = list(ORDER[cell])
    sign = np.array(SIGN.get(cell, (1.0,) * len(order)))
    if array.ndim == 2:
        return (array[order] * sign[:, None]).ravel()
    return (array.swapaxes(1, 2)[order] * sign[:, None, None]).reshape(-1, array.shape[1])


def copy_weights(net: Any, model: Any) -> None:
    with torch.no_grad():
        for number, w in enumerate(model.layers(model.params)):
            for name, W in (("ih", w.W_x), ("hh", w.W_h)):
                theirs = getattr(net, f"weight_{name}_l{number}")
                theirs.copy_(torch.from_numpy(stacked(model.cell, W)))
            getattr(net, f"bias_ih_l{number}").copy_(torch.from_numpy(stacked(model.cell, w.b)))
            bias = getattr(net, f"bias_hh_l{number}")
            bias.zero_()
            if model.cell == "gru-after":
                bias[2 * H :].copy_(torch.from_numpy(w.b_u))


def states_of(cell: str, state: Any) -> Any:
    """Our state as torch takes it: one tensor, or the pair of them."""
    parts = [torch.from_numpy(part.copy()).requires_grad_() for part in split(cell, state)]
    return parts[0] if len(parts) == 1 else tuple(parts)


def split(cell: str, state: Any) -> list[Any]:
    return np.split(state, 2, axis=-1) if cell == "lstm" else [state]


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_outputs_and_gradients_are_those_of_torch(cell: str, layers: int) -> None:
    model, window = toy(V=7, H=H, L=layers, T=6, B=3, dropout=0.0, seed=8, cell=cell)
    net = getattr(torch.nn, LAYERS[cell])(7, H, layers, dtype=torch.float64)
    copy_weights(net, model)
    given = states_of(cell, window.state)
    outputs, last = net(torch.from_numpy(np.eye(7)[window.x]), given)
    w = model.output(model.params)
    logits = outputs @ torch.from_numpy(w.W_hc) + torch.from_numpy(w.b_c)
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(window.targets).flatten(), reduction="sum"
    )
    total.backward()
    grads = model.params.like()
    loss, state, dstate = model.loss_and_gradients(
        window.x, window.targets, window.state, model.workspace(6, 3), grads, scale=1.0
    )
    assert loss == pytest.approx(total.item(), rel=1e-12)
    pairs = (last, given) if cell == "lstm" else ((last,), (given,))
    for ours, theirs in zip(split(cell, state), pairs[0], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-12)
    for ours, theirs in zip(split(cell, dstate), pairs[1], strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-10)
    for number, dw in enumerate(model.layers(grads)):
        expected = {"weight_ih": dw.W_x, "weight_hh": dw.W_h, "bias_ih": dw.b}
        for name, ours in expected.items():
            theirs = getattr(net, f"{name}_l{number}").grad.numpy()
            np.testing.assert_allclose(stacked(cell, ours), theirs, atol=1e-10)
        if cell == "gru-after":
            theirs = getattr(net, f"bias_hh_l{number}").grad.numpy()
            np.testing.assert_allclose(dw.b_u, theirs[2 * H :], atol=1e-10)
