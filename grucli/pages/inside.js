/* The view that looks inside: the values of a unit over the text. */

const EQUATIONS = {
  gru: ["z = σ(h⁻ W_hz + x W_xz + b_z)", "r = σ(h⁻ W_hr + x W_xr + b_r)",
    "n = tanh((r * h⁻) W_hn + x W_xn + b_n)", "h = (1 − z) * h⁻ + z * n"],
  "gru-after": ["z = σ(h⁻ W_hz + x W_xz + b_z)", "r = σ(h⁻ W_hr + x W_xr + b_r)", "u = h⁻ W_hn + b_u",
    "n = tanh(r * u + x W_xn + b_n)", "h = (1 − z) * h⁻ + z * n"],
  lstm: ["i = σ(h⁻ W_hi + x W_xi + b_i)", "f = σ(h⁻ W_hf + x W_xf + b_f)", "o = σ(h⁻ W_ho + x W_xo + b_o)",
    "g = tanh(h⁻ W_hg + x W_xg + b_g)", "c = f * c⁻ + i * g", "h = o * tanh(c)"],
  rnn: ["h = tanh(h⁻ W_h + x W_x + b)"],
};
const MEANING = {
  h: "state", c: "cell state", z: "update gate", r: "reset gate", n: "candidate", u: "", i: "input gate",
  f: "forget gate", o: "output gate", g: "candidate", "h⁻": "state before", "c⁻": "cell state before",
};
if (spec.cell === "lstm") MEANING.u = "tanh(c)";
if (spec.cell === "gru-after") MEANING.u = "input of the reset gate";

const inside = (() => {
  let strip = null;
  let drawn = null;

  const layer = () => Number($("layer").value) - 1;
  const quantity = () => $("quantity").value;
  const unit = () => Math.min(model.H - 1, Math.max(0, Math.floor(Number($("unit").value) || 0)));
  const values = (read) => read.ids.map((_, i) => read.states[i + 1][layer()][quantity()][unit()]);

  function show(read, anew) {
    if (drawn !== read || anew) {
      drawn = read;
      strip.show(read.symbols);
      if (read.ids.length) strip.choose(Math.min(read.ids.length - 1, 20));
      else $("inside-detail").replaceChildren();
    }
    colour();
  }
  function colour() {
    const read = reading.read;
    if (!read) return;
    const found = values(read);
    const full = ["h", "n", "g", "u", "c"].includes(quantity()) ? Math.max(1e-9, ...found.map(Math.abs)) : 1;
    strip.colour(found.map((x) => x / full));
    $("inside-totals").textContent = found.length
      ? `${quantity()} of unit ${unit()}, layer ${layer() + 1}: from ${number(Math.min(...found))} to ${number(Math.max(...found))}. Warm colours are above zero, cold ones below.${leftOut(read.unknown)}`
      : "There is nothing to read.";
    if (strip.at >= 0) detail(strip.at);
  }

  function detail(i) {
    const read = reading.read;
    const step = read.states[i + 1][layer()];
    const k = unit();
    const names = [...model.cell.state.map((part) => [`${part}⁻`, `${part}_prev`]),
      ...model.cell.gates.filter(Boolean).map((gate) => [gate, gate]), ...model.cell.saved.map((name) => [name, name]),
      ...[...model.cell.state].reverse().map((part) => [part, part])];
    const rows = names.map(([symbol, field]) => element("tr", symbol === quantity() ? { class: "chosen-row" } : {},
      element("td", { class: "symbol" }, symbol), element("td", { class: "number" }, number(step[field][k], 4)),
      element("td", {}, MEANING[symbol] || "")));
    $("inside-detail").replaceChildren(
      element("h2", {}, `Unit ${k} while it reads “${named(read.symbols[i])}”`),
      table(["", "value", ""], rows));
  }

  /** The units whose value follows a feature of the text most closely, by correlation. */
  function followers(feature) {
    const read = reading.read;
    const text = read.symbols.map((symbol) => String.fromCodePoint(symbol));
    const wanted = features.FEATURES[feature](text);
    const found = [];
    for (let k = 0; k < model.H; k++) {
      const r = features.correlation(wanted, read.ids.map((_, i) => read.states[i + 1][layer()].h[k]));
      if (Number.isFinite(r)) found.push([k, r]);
    }
    return found.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }
  function find() {
    const feature = $("feature").value;
    if (!feature || !reading.read) return;
    const found = followers(feature);
    if (!found.length) {
      $("inside-totals").textContent = `“${feature}” does not vary in this text: give it another text.`;
      return;
    }
    $("quantity").value = "h";
    $("unit").value = found[0][0];
    colour();
    $("inside-totals").textContent = `Units that follow “${feature}” most closely: `
      + found.slice(0, 4).map(([k, r]) => `${k} (correlation ${r.toFixed(2)})`).join(", ") + ". The first is shown.";
  }

  function prepare() {
    strip = new Strip($("inside-strip"), "Text, coloured by a unit's value; arrow keys choose a character", detail);
    for (let l = 1; l <= model.L; l++) $("layer").append(element("option", { value: l }, l));
    $("layer").value = model.L;
    const names = [...model.cell.state, ...model.cell.gates.filter(Boolean), ...model.cell.saved];
    for (const name of names) $("quantity").append(element("option", { value: name }, `${name}${MEANING[name] ? `, ${MEANING[name]}` : ""}`));
    $("feature").append(element("option", { value: "" }, "choose …"), ...Object.keys(features.FEATURES).map((name) => element("option", { value: name }, name)));
    $("unit").max = model.H - 1;
    for (const id of ["layer", "quantity", "unit"]) $(id).addEventListener("input", colour);
    $("feature").addEventListener("input", find);
    $("inside-lead").append(
      `A model of ${count(model.H)} units a layer keeps what it has read in a state of ${count(model.H)} numbers, and updates it at every character. The text is coloured by one of them; choose a character to see the numbers before and after it.`,
      element("span", { class: "equation" }, [...EQUATIONS[spec.cell], "", "h⁻ is the state before the character x, σ(a) = 1 / (1 + e⁻ᵃ), and * multiplies elementwise."].join("\n")));
  }
  return { prepare, show };
})();
