"""Mistakes: for each its name, a place of the source that occurs once, and what to put there."""

GRU_MUTATIONS = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("dh_next += from_z", "pass"),
    "route 3, candidate": ("dh_next += drh  # route 3", "pass  #"),
    "route 4, reset": ("dh_next += from_r", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "z (1 - z) without z": ("write *= dn", "write *= dh_next"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= drh  # (2)", "r *= drh / buffer * h_prev  #"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "dz without h_{t-1}": (
        "write = np.subtract(n, h_prev, out=second)",
        "write = second; write[:] = n",
    ),
    "reset after the product, forward": (
        "multiply_n(rh)",
        "multiply_n(h_prev); np.multiply(product, r, out=product)",
    ),
    "reset after the product, backward": (
        "multiply_n(n)",
        "multiply_n(n * r); first /= r",
    ),
    "reset after the product, weights": (
        "(h_prevs, h_prevs, dh), cache.a",
        "(h_prevs, h_prevs, h_prevs), cache.a",
    ),
    "weights from the wrong state": ("(h_prevs,) = cache.before", "h_prevs = cache.h[1:]"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
    "gradient from above": (
        "dh_next += buffer  #",
        "dh_next += buffer * (h_prev is not cache.steps[0][0])  #",
    ),
}

AFTER_MUTATIONS = {
    "route 1, direct": ("dh_next *= keep  # route 1", "dh_next *= 0.0  #"),
    "route 2, update": ("dh_next += from_z", "pass"),
    "route 3, candidate": ("dh_next += from_u", "pass"),
    "route 4, reset": ("dh_next += from_r", "pass"),
    "z (1 - z) without 1 - z": ("z *= write", "z[:] = write"),
    "r (1 - r) without 1 - r": ("np.subtract(1.0, r, out=r)", "r[:] = 1.0"),
    "r (1 - r) without r": ("r *= du", "r *= n"),
    "dr without u": ("r *= u", "pass"),
    "1 - n^2 without 1 -": ("np.subtract(1.0, n, out=n)", "pass"),
    "du without r": ("du = np.multiply(n, r, out=write)", "du = write; write[:] = n"),
    "b_u": ("np.sum(du_all, axis=(0, 1), out=dw.b_u)", "pass"),
    "b_u outside the reset gate": (
        "n += np.multiply(r, u, out=n_product)",
        "n += r * (u - w.b_u) + w.b_u",
    ),
    "recurrent weights of the candidate": ("cache.a[1], du_all)", "cache.a[1], cache.a[2])"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
}

INPUT_MUTATIONS = {
    "b_z": ("np.sum(dw.W_x, axis=1, out=dw.b)", "dw.b[1:] = dw.W_x[1:].sum(axis=1)"),
    "b_r": ("np.sum(dw.W_x, axis=1, out=dw.b)", "dw.b[::2] = dw.W_x[::2].sum(axis=1)"),
    "b_n": ("np.sum(dw.W_x, axis=1, out=dw.b)", "dw.b[:2] = dw.W_x[:2].sum(axis=1)"),
    "b of a higher layer": ("np.sum(da, axis=(1, 2), out=dw.b)", "dw.b[:2] = da[:2].sum((1, 2))"),
    "input weights of a repeated character": (
        "np.matmul(ones[start:end], rows[start - lo : end - lo], out=dW_xg[v])",
        "dW_xg[v] = rows[start - lo]",
    ),
    "input weights of the wrong character": ("out=dW_xg[v])", "out=dW_xg[v - 1])"),
    "input weights of a higher layer": (
        "np.matmul(as_rows(x).T, as_rows(da_g), out=dW_xg)",
        "dW_xg[:] = 0.0",
    ),
    "input of a layer": (
        "np.sum(parts, axis=0, out=dx_rows)",
        "np.sum(parts[1:], axis=0, out=dx_rows)",
    ),
}

MODEL_MUTATIONS = {
    "initial state of one layer": (
        "dstate[number] = CELLS[self.cell].backward(",
        "dstate[number] = (number > 0) * CELLS[self.cell].backward(",
    ),
    "dropout": ("workspace.dh[:] *= masks[number]", "pass"),
    "b_c": ("dw.b_c[:] += c.sum(axis=0)", "pass"),
    "W_hc": ("dw.W_hc[:] += h_rows[rows].T @ c", "dw.W_hc[:] += 0.5 * h_rows[rows].T @ c"),
}

LSTM_MUTATIONS = {
    "route output": ("dh_next += from_o", "pass"),
    "route input": ("np.add(from_i, from_f, out=dh_next)", "dh_next[:] = from_f"),
    "route forget": ("np.add(from_i, from_f, out=dh_next)", "dh_next[:] = from_i"),
    "route candidate": ("dh_next += from_g", "pass"),
    "route direct": ("dc *= f  # route direct", "dc *= 0.0  #"),
    "through the cell": ("dc += u", "pass"),
    "1 - u^2 without 1 -": ("np.subtract(1.0, u, out=u)", "pass"),
    "dc without o": ("u *= o", "pass"),
    "do without u": ("np.multiply(dh_next, u, out=do)", "do[:] = dh_next"),
    "di without g": ("np.multiply(dc, g, out=di)", "di[:] = dc"),
    "df of this step's cell": (
        "for dh_t, (_, c_prev, _, _, u",
        "for dh_t, (_, _, _, c_prev, u",
    ),
    "dg without i": ("g *= i", "pass"),
    "1 - g^2 without 1 -": ("np.subtract(1.0, g, out=g)", "pass"),
    "a (1 - a) without 1 - a": ("np.subtract(1.0, ifo, out=ifo)", "ifo[:] = 1.0"),
    "a (1 - a) without a": ("difo *= ifo", "pass"),
    "weights from the wrong state": ("h_prevs, _ = cache.before", "h_prevs = cache.h[1:]"),
    "gradient of the last state": (
        "dstate = np.array(dstate, dtype=cache.h.dtype)",
        "dstate = np.zeros_like(dstate)",
    ),
    "gradient from above": (
        "dh_next += dh_t",
        "dh_next += dh_t * (c_prev is not cache.steps[0][1])",
    ),
}

RNN_MUTATIONS = {
    "the only route": ("multiply_a(a)", "dh_next[:] = 0.0"),
    "1 - h^2 without 1 -": ("np.subtract(1.0, a, out=a)", "pass"),
    "1 - h^2 without the square": ("np.multiply(h, h, out=a)", "a[:] = h"),
    "weights from the wrong state": ("dw.W_h, cache.before", "dw.W_h, cache.states[:, 1:]"),
    "gradient of the last state": (
        "dh_next = np.array(dstate, dtype=cache.h.dtype)",
        "dh_next = np.zeros_like(dstate)",
    ),
    "gradient from above": ("dh_next += dh_t", "dh_next += 0.5 * dh_t"),
}

CELL_MUTATIONS = {
    "gru": GRU_MUTATIONS,
    "gru-after": AFTER_MUTATIONS,
    "lstm": LSTM_MUTATIONS,
    "rnn": RNN_MUTATIONS,
}
