"use strict";

/* The model of a grucli run: forward, scoring, sampling, and the routes of the gradient.

   States are row vectors, and all arithmetic is in float64. The symbols are those of the equations
   in grucli/nn/cells. Nothing here touches the page, so that it also runs without a browser. */

const engine = (() => {
  // ---- vectors

  const zeros = (n) => new Float64Array(n);
  const map = (n, f) => {
    const out = zeros(n);
    for (let i = 0; i < n; i++) out[i] = f(i);
    return out;
  };
  const add = (...all) => map(all[0].length, (i) => all.reduce((sum, v) => sum + v[i], 0));
  const dot = (a, b) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
  };
  const scaled = (a, by) => map(a.length, (i) => a[i] * by);
  const sigmoid = (x) => 0.5 * (1 + Math.tanh(0.5 * x));

  /** x W for a matrix W (K, N), stored row by row; added to out. */
  function multiply(x, W, out) {
    const N = out.length;
    for (let i = 0; i < x.length; i++) {
      const xi = x[i];
      if (xi === 0) continue;
      const row = W.subarray(i * N, (i + 1) * N);
      for (let j = 0; j < N; j++) out[j] += xi * row[j];
    }
    return out;
  }

  /** d W^T for a matrix W (K, N), stored row by row. */
  function multiplyTransposed(d, W, K) {
    const N = d.length;
    return map(K, (i) => dot(d, W.subarray(i * N, (i + 1) * N)));
  }

  // ---- cells: one step forward, its backward pass, and the routes from h_t or c_t to step t-1

  /** The GRU with the reset gate before the product (Cho et al. 2014). */
  const gru = {
    gates: ["z", "r", "n"],
    state: ["h"],
    saved: [],
    step(w, a, { h: h_prev }) {
      const H = h_prev.length;
      const z = multiply(h_prev, w.W_h[0], a[0]).map(sigmoid); // (1)
      const r = multiply(h_prev, w.W_h[1], a[1]).map(sigmoid); // (2)
      const rh = map(H, (i) => r[i] * h_prev[i]);
      const n = multiply(rh, w.W_h[2], a[2]).map(Math.tanh); // (3)
      const h = map(H, (i) => (1 - z[i]) * h_prev[i] + z[i] * n[i]); // (4)
      return { h_prev, z, r, n, h };
    },
    backward(w, { h_prev, z, r, n }, { h: dh }) {
      const H = dh.length;
      const dz = map(H, (i) => dh[i] * (n[i] - h_prev[i]) * z[i] * (1 - z[i]));
      const dn = map(H, (i) => dh[i] * z[i] * (1 - n[i] * n[i]));
      const drh = multiplyTransposed(dn, w.W_h[2], H);
      const dr = map(H, (i) => drh[i] * h_prev[i] * r[i] * (1 - r[i]));
      const fromZ = multiplyTransposed(dz, w.W_h[0], H);
      const fromR = multiplyTransposed(dr, w.W_h[1], H);
      return { h: map(H, (i) => dh[i] * (1 - z[i]) + fromZ[i] + drh[i] * r[i] + fromR[i]) };
    },
    routes: [
      ["direct", "h", "h", (w, { z }, dh) => map(dh.length, (i) => dh[i] * (1 - z[i]))],
      ["update", "h", "h", (w, { h_prev, z, n }, dh) =>
        multiplyTransposed(
          map(dh.length, (i) => dh[i] * (n[i] - h_prev[i]) * z[i] * (1 - z[i])), w.W_h[0], dh.length)],
      ["candidate", "h", "h", (w, s, dh) => {
        const drh = throughCandidate(w, s, dh);
        return map(dh.length, (i) => drh[i] * s.r[i]);
      }],
      ["reset", "h", "h", (w, s, dh) => {
        const drh = throughCandidate(w, s, dh);
        const dr = map(dh.length, (i) => drh[i] * s.h_prev[i] * s.r[i] * (1 - s.r[i]));
        return multiplyTransposed(dr, w.W_h[1], dh.length);
      }],
    ],
  };

  const throughCandidate = (w, { z, n }, dh) =>
    multiplyTransposed(map(dh.length, (i) => dh[i] * z[i] * (1 - n[i] * n[i])), w.W_h[2], dh.length);

  /** The GRU with the reset gate after the product (cuDNN, torch.nn.GRU). */
  const gruAfter = {
    gates: ["z", "r", "n"],
    state: ["h"],
    saved: ["u"],
    step(w, a, { h: h_prev }) {
      const H = h_prev.length;
      const z = multiply(h_prev, w.W_h[0], a[0]).map(sigmoid); // (1)
      const r = multiply(h_prev, w.W_h[1], a[1]).map(sigmoid); // (2)
      const u = multiply(h_prev, w.W_h[2], Float64Array.from(w.b_u)); // (3)
      const n = map(H, (i) => Math.tanh(r[i] * u[i] + a[2][i])); // (4)
      const h = map(H, (i) => (1 - z[i]) * h_prev[i] + z[i] * n[i]); // (5)
      return { h_prev, z, r, n, u, h };
    },
    backward(w, { h_prev, z, r, n, u }, { h: dh }) {
      const H = dh.length;
      const dz = map(H, (i) => dh[i] * (n[i] - h_prev[i]) * z[i] * (1 - z[i]));
      const dn = map(H, (i) => dh[i] * z[i] * (1 - n[i] * n[i]));
      const du = map(H, (i) => dn[i] * r[i]);
      const dr = map(H, (i) => dn[i] * u[i] * r[i] * (1 - r[i]));
      const [fromZ, fromR, fromU] = [dz, dr, du].map((d, g) => multiplyTransposed(d, w.W_h[g], H));
      return { h: map(H, (i) => dh[i] * (1 - z[i]) + fromZ[i] + fromR[i] + fromU[i]) };
    },
    routes: [
      gru.routes[0],
      gru.routes[1],
      ["candidate", "h", "h", (w, { z, r, n }, dh) =>
        multiplyTransposed(
          map(dh.length, (i) => dh[i] * z[i] * (1 - n[i] * n[i]) * r[i]), w.W_h[2], dh.length)],
      ["reset", "h", "h", (w, { z, r, n, u }, dh) =>
        multiplyTransposed(
          map(dh.length, (i) => dh[i] * z[i] * (1 - n[i] * n[i]) * u[i] * r[i] * (1 - r[i])),
          w.W_h[1], dh.length)],
    ],
  };

  /** From h_t through c_t, then along a route from c_t. */
  const fromH = (carry) => (w, s, dh) =>
    carry(w, s, map(dh.length, (i) => dh[i] * s.o[i] * (1 - s.u[i] * s.u[i])));
  const toGate = (gate, slope) => (w, s, d) =>
    multiplyTransposed(map(d.length, (i) => d[i] * slope(s, i)), w.W_h[gate], d.length);
  const ofInput = toGate(0, (s, i) => s.g[i] * s.i[i] * (1 - s.i[i]));
  const ofForget = toGate(1, (s, i) => s.c_prev[i] * s.f[i] * (1 - s.f[i]));
  const ofOutput = toGate(2, (s, i) => s.u[i] * s.o[i] * (1 - s.o[i]));
  const ofCandidate = toGate(3, (s, i) => s.i[i] * (1 - s.g[i] * s.g[i]));
  const alongC = (w, s, dc) => map(dc.length, (i) => dc[i] * s.f[i]);

  /** The LSTM (Hochreiter and Schmidhuber 1997) with the forget gate of Gers et al. 2000. */
  const lstm = {
    gates: ["i", "f", "o", "g"],
    state: ["h", "c"],
    saved: ["u"],
    step(w, a, { h: h_prev, c: c_prev }) {
      const H = h_prev.length;
      const [i, f, o] = [0, 1, 2].map((g) => multiply(h_prev, w.W_h[g], a[g]).map(sigmoid));
      const g = multiply(h_prev, w.W_h[3], a[3]).map(Math.tanh); // (4)
      const c = map(H, (k) => f[k] * c_prev[k] + i[k] * g[k]); // (5)
      const u = c.map(Math.tanh);
      const h = map(H, (k) => o[k] * u[k]); // (6)
      return { h_prev, c_prev, i, f, o, g, u, c, h };
    },
    backward(w, { c_prev, i, f, o, g, u }, { h: dh, c: dcLater }) {
      const H = dh.length;
      const dc = map(H, (k) => dcLater[k] + dh[k] * o[k] * (1 - u[k] * u[k]));
      const d = [
        map(H, (k) => dc[k] * g[k] * i[k] * (1 - i[k])),
        map(H, (k) => dc[k] * c_prev[k] * f[k] * (1 - f[k])),
        map(H, (k) => dh[k] * u[k] * o[k] * (1 - o[k])),
        map(H, (k) => dc[k] * i[k] * (1 - g[k] * g[k])),
      ];
      return {
        h: add(...d.map((da, gate) => multiplyTransposed(da, w.W_h[gate], H))),
        c: map(H, (k) => dc[k] * f[k]),
      };
    },
    routes: [
      ["output", "h", "h", ofOutput],
      ["input", "h", "h", fromH(ofInput)],
      ["forget", "h", "h", fromH(ofForget)],
      ["candidate", "h", "h", fromH(ofCandidate)],
      ["direct", "h", "c", fromH(alongC)],
      ["input", "c", "h", ofInput],
      ["forget", "c", "h", ofForget],
      ["candidate", "c", "h", ofCandidate],
      ["direct", "c", "c", alongC],
    ],
  };

  const throughTanh = (w, { h }, dh) =>
    multiplyTransposed(map(dh.length, (i) => dh[i] * (1 - h[i] * h[i])), w.W_h[0], dh.length);

  /** The vanilla recurrent network (Elman 1990). */
  const rnn = {
    gates: [""],
    state: ["h"],
    saved: [],
    step: (w, a, { h: h_prev }) => ({
      h_prev,
      h: multiply(h_prev, w.W_h[0], a[0]).map(Math.tanh), // (1)
    }),
    backward: (w, s, { h: dh }) => ({ h: throughTanh(w, s, dh) }),
    routes: [["recurrent", "h", "h", throughTanh]],
  };

  const CELLS = { gru, "gru-after": gruAfter, lstm, rnn };

  /** A cell that this script cannot compute: grucli has recorded its steps for one text. */
  function recordedCell({ state, fields }) {
    const gates = fields.filter((name) => !state.includes(name));
    return { gates, state, saved: [], routes: [] };
  }

  // ---- weights

  /** The number of 16 bits, sign 1, exponent 5, fraction 10 (IEEE 754 binary16). */
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  /** The numbers of a base64 text of little-endian float32 or float16. */
  function numbers(base64, type) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const view = new DataView(bytes.buffer);
    if (type === "float64") return new Float64Array(bytes.length / 8).map((_, i) => view.getFloat64(8 * i, true));
    if (type === "float16") {
      const table = new Float32Array(65536).map((_, bits) => half(bits));
      return new Float32Array(bytes.length / 2).map((_, i) => table[view.getUint16(2 * i, true)]);
    }
    return new Float32Array(bytes.length / 4).map((_, i) => view.getFloat32(4 * i, true));
  }

  /** The parameters by name: for each gate a matrix or vector. */
  function parameters(shapes, flat) {
    const named = {};
    let at = 0;
    for (const [name, shape] of shapes) {
      const gates = shape.length === 3 || (shape.length === 2 && name.endsWith(".b")) ? shape[0] : 1;
      const size = shape.reduce((a, b) => a * b, 1) / gates;
      const parts = [];
      for (let g = 0; g < gates; g++, at += size) parts.push(flat.subarray(at, at + size));
      named[name] = parts;
    }
    if (at !== flat.length) throw new Error(`${flat.length} numbers, not ${at}`);
    return named;
  }

  // ---- the model

  class Model {
    /** @param spec what the page holds: cell, sizes, symbols, weights (grucli/pages/build.py). */
    constructor(spec) {
      Object.assign(this, { V: spec.V, H: spec.H, L: spec.L, separator: spec.separator });
      this.spec = spec;
      this.cell = spec.recorded ? recordedCell(spec.recorded) : CELLS[spec.cell];
      this.recorded = spec.recorded && numbers(spec.recorded.values, "float64");
      const named = parameters(spec.shapes, numbers(spec.weights, spec.type));
      this.layers = [];
      for (let l = 1; l <= this.L; l++) {
        const part = (name) => named[`layer${l}.${name}`];
        this.layers.push({ W_x: part("W_x"), W_h: part("W_h"), b: part("b"), b_u: (part("b_u") || [])[0] });
      }
      [this.W_hc] = named["output.W_hc"];
      [this.b_c] = named["output.b_c"];
      const total = spec.counts.reduce((a, b) => a + b, 0);
      this.first = Float64Array.from(spec.counts, (n) => Math.log(Math.max(n, 0.5) / total));
      const unseen = new Set(spec.unseen);
      this.idOf = new Map(spec.symbols.map((symbol, id) => [symbol, id]).filter(([, id]) => !unseen.has(id)));
    }

    /** The state before any text: for each layer, its parts. */
    zeroState() {
      return this.layers.map(() =>
        Object.fromEntries(this.cell.state.map((part) => [part, zeros(this.H)])));
    }

    /** The state that a symbol is read with: a document begins anew. */
    begun(id, before) { return id === this.separator ? this.zeroState() : before; }

    /** The state after a symbol of the recorded text; the state before has its place. */
    recordedStep(id, before) {
      const { ids, fields } = this.spec.recorded;
      const place = before.place === undefined ? 0 : before.place + 1;
      if (ids[place] !== id) throw new RangeError("this page has the states of its own text alone");
      const start = this.begun(id, before);
      const state = this.layers.map((_, l) => Object.fromEntries([
        ...this.cell.state.map((part) => [`${part}_prev`, start[l][part]]),
        ...fields.map((name, f) => {
          const at = ((l * fields.length + f) * ids.length + place) * this.H;
          return [name, this.recorded.subarray(at, at + this.H)];
        })]));
      return Object.assign(state, { place });
    }

    /** Read one symbol; the state of each layer after it, with all arrays of the step. */
    step(id, before) {
      if (this.recorded) return this.recordedStep(id, before);
      let x = null;
      const start = this.begun(id, before);
      return this.layers.map((w, l) => {
        const a = w.b.map((b, g) => this.projection(w, g, b, l ? x : id));
        const now = this.cell.step(w, a, start[l]);
        x = now.h;
        return now;
      });
    }

    /** x W_x + b of one gate; an id selects a row. */
    projection(w, g, b, x) {
      const a = Float64Array.from(b);
      if (typeof x !== "number") return multiply(x, w.W_x[g], a);
      const row = w.W_x[g].subarray(x * this.H, (x + 1) * this.H);
      for (let j = 0; j < this.H; j++) a[j] += row[j];
      return a;
    }

    /** The log probabilities of the next symbol, in nats, (V,). */
    next(state) {
      return logSoftmax(multiply(state[this.L - 1].h, this.W_hc, Float64Array.from(this.b_c)));
    }

    /** The log probabilities of the first symbol of a text, and the state before it. */
    begin() {
      if (this.separator === null) {
        return { logProbs: this.first, state: this.zeroState() };
      }
      const state = this.step(this.separator, this.zeroState());
      return { logProbs: this.next(state), state };
    }

    /** The symbols of a text, with the line ends of the training text. */
    symbolsOf(text) {
      if (this.spec.level === "byte") return Array.from(new TextEncoder().encode(this.separated(text)));
      const read = this.separated(this.spec.unify ? text.replace(/\r\n?/g, "\n") : text);
      return Array.from(read, (character) => character.codePointAt(0));
    }

    /** A text with U+001E after each of its documents but the last, as grucli reads it. */
    separated(text) {
      const { separators } = this.spec;
      if (!separators) return text;
      const begin = (part) => part.replace(/^(?:[ \t]*(?:\r\n|\n|\r(?!\n)))+/, "");
      const parts = `\n${text}`.split(new RegExp(separators));
      const rest = begin(parts.pop());
      const whole = parts.map((part) => begin(part.replace(/[ \t\r\n]+$/, "")));
      return whole.filter((part) => part).map((part) => `${part}\x1e`).join("") + rest;
    }

    /** The ids of a text; unknown characters are the model's unknown one, or null. */
    encode(text) {
      const { unknown } = this.spec;
      return this.symbolsOf(text).map((symbol) => this.idOf.has(symbol) ? this.idOf.get(symbol) : unknown);
    }

    /** The text of ids; bytes that are not UTF-8 become U+FFFD. */
    decode(ids) {
      const symbols = ids.flatMap((id) => this.shownFor(this.spec.symbols[id]));
      if (this.spec.level === "byte") return new TextDecoder().decode(Uint8Array.from(symbols));
      return symbols.map((symbol) => String.fromCodePoint(symbol)).join("");
    }

    /** A symbol, or the symbols that are shown between documents. */
    shownFor(symbol) {
      const { separators, between, level } = this.spec;
      if (!separators || symbol !== 0x1e) return [symbol];
      return level === "byte" ? [...new TextEncoder().encode(between)] : Array.from(between, (c) => c.codePointAt(0));
    }

    /** The log probability of each symbol of a text, in nats. */
    logProbs(text) {
      const ids = this.encode(text);
      if (ids.includes(null)) throw new RangeError("the model does not know a character of the text");
      let { logProbs, state } = this.begin();
      return ids.map((id) => {
        const found = logProbs[id];
        state = this.step(id, state);
        logProbs = this.next(state);
        return found;
      });
    }

    /** The gradient of a symbol's loss at the top layer's state before it. */
    lossGradient(state, target) {
      const y = this.next(state).map(Math.exp);
      y[target] -= 1;
      const dh = multiplyTransposed(y, this.W_hc, this.H);
      return Object.fromEntries(this.cell.state.map((part) => [part, part === "h" ? dh : zeros(this.H)]));
    }

    /** Follow a gradient from the top layer's last step back through time, route by route.

        @param steps the arrays of the top layer's steps, the latest first, each with `reset`:
            whether the document begins there, so that no gradient goes further back.
        @param gradient of the loss with respect to the state after the latest step.
        @yields for each step: the norm of the gradient that reaches the state before it, each
            route's share of it, and the difference between the routes' sum and the backward pass. */
    *follow(steps, gradient) {
      const w = this.layers[this.L - 1];
      let whole = gradient;
      let unit = normalized(gradient);
      for (const step of steps) {
        if (step.reset) return;
        const parts = this.cell.routes.map(([name, start, end, carry]) =>
          ({ name, end, part: carry(w, step, unit[start]) }));
        const sum = Object.fromEntries(this.cell.state.map((part) => {
          const here = parts.filter((one) => one.end === part).map((one) => one.part);
          return [part, here.length ? add(...here) : zeros(this.H)];
        }));
        const before = this.cell.backward(w, step, unit);
        const length = squared(sum);
        const shares = {};
        for (const { name, end, part } of parts) {
          shares[name] = (shares[name] || 0) + (length ? dot(part, sum[end]) / length : 0);
        }
        whole = this.cell.backward(w, step, whole);
        yield {
          norm: Math.sqrt(squared(whole)),
          shares,
          sum: Math.sqrt(length),
          backward: Math.sqrt(squared(before)),
          difference: Math.sqrt(squared(subtracted(sum, before))),
        };
        unit = normalized(sum);
      }
    }
  }

  const squared = (gradient) => Object.values(gradient).reduce((sum, part) => sum + dot(part, part), 0);
  const subtracted = (a, b) =>
    Object.fromEntries(Object.keys(a).map((k) => [k, map(a[k].length, (i) => a[k][i] - b[k][i])]));
  function normalized(gradient) {
    const length = Math.sqrt(squared(gradient));
    return Object.fromEntries(
      Object.entries(gradient).map(([k, part]) => [k, scaled(part, length ? 1 / length : 1)]));
  }

  function logSoftmax(c) {
    const top = c.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = Math.log(c.reduce((sum, x) => sum + Math.exp(x - top), 0)) + top;
    return c.map((x) => x - total);
  }

  // ---- sampling

  /** Random numbers in [0, 1): splitmix32, equal for equal seeds. */
  function randomNumbers(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x9e3779b9) >>> 0;
      let t = state ^ (state >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return ((t ^ (t >>> 15)) >>> 0) / 2 ** 32;
    };
  }

  /** Choose a symbol.

      @param logProbs of all symbols.
      @param options temperature (0: the likeliest), topK, topP (null: all), never (an id, or null).
      @param uniform a random number in [0, 1). */
  function choose(logProbs, { temperature, topK, topP, never }, uniform) {
    const order = Array.from(logProbs.keys()).filter((id) => id !== never);
    order.sort((a, b) => logProbs[b] - logProbs[a]);
    if (temperature === 0) return order[0];
    const top = logProbs[order[0]];
    const allowed = topK ? order.slice(0, topK) : order;
    const p = allowed.map((id) => Math.exp((logProbs[id] - top) / temperature));
    let kept = p.length;
    if (topP && topP < 1) {
      const enough = topP * p.reduce((a, b) => a + b, 0);
      let sum = 0;
      kept = 0;
      while (kept < p.length && sum < enough) sum += p[kept++];
    }
    const total = p.slice(0, kept).reduce((a, b) => a + b, 0);
    let rest = uniform * total;
    for (let i = 0; i < kept; i++) {
      rest -= p[i];
      if (rest < 0) return allowed[i];
    }
    return allowed[0];
  }

  return { Model, CELLS, choose, half, randomNumbers, squared };
})();

if (typeof module !== "undefined") module.exports = engine;
