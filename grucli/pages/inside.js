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
if (spec.recorded) for (const name of Object.keys(MEANING)) if (!name.startsWith("h")) delete MEANING[name];
if (spec.cell === "lstm") MEANING.u = "tanh(c)";
if (spec.cell === "gru-after") MEANING.u = "what the reset gate multiplies";

const BELOW_ZERO = ["h", "n", "g", "u", "c"]; // quantities that are not gates between 0 and 1

const inside = (() => {
  let strip = null;
  let followed = ""; // what the unit was found by

  const layer = () => Number($("layer").value) - 1;
  const quantity = () => $("quantity").value;
  const unit = () => Math.min(model.H - 1, Math.max(0, Math.floor(Number($("unit").value) || 0)));
  const values = (read) => read.ids.map((_, i) => read.states[i + 1][layer()][quantity()][unit()]);

  function show(read) {
    const first = strip.read === null;
    if (strip.show(read)) {
      offer(first);
      if ($("feature").value) find();
      else colour();
      if (!read.ids.length) $("inside-detail").replaceChildren();
    }
    if (read.ids.length) strip.resume(Math.min(read.ids.length - 1, 20));
  }
  /** Only what varies in this text can be followed. */
  function offer(first) {
    const text = characters();
    for (const option of $("feature").options) {
      if (!option.value) continue;
      const wanted = features.FEATURES[option.value](text);
      option.disabled = !wanted.some((x) => x !== wanted[0]);
      option.textContent = option.value + (option.disabled ? " (not here)" : "");
    }
    const possible = [...$("feature").options].filter((option) => option.value && !option.disabled).map((option) => option.value);
    if (first) $("feature").value = possible.includes("position in line") ? "position in line" : possible[0] || "";
    else if (!possible.includes($("feature").value)) $("feature").value = "";
  }
  const characters = () => reading.read.symbols.map((symbol) => String.fromCodePoint(symbol));

  function colour(found = "") {
    const read = reading.read;
    if (!read) return;
    followed = found;
    const numbers = values(read);
    const signed = spec.recorded ? numbers.some((x) => x < 0) : BELOW_ZERO.includes(quantity());
    const full = signed ? Math.max(1e-9, ...numbers.map(Math.abs)) : 1;
    strip.colour(numbers.map((x) => x / full));
    const legend = signed ? "Warm colours are above zero, cold ones below."
      : `The stronger the colour, the nearer the ${spec.recorded ? "value is to 1" : "gate is to 1, where it is open"}.`;
    $("inside-totals").textContent = numbers.length
      ? `${followed}${quantity()} of unit ${unit()}, layer ${layer() + 1}: from ${number(Math.min(...numbers))} to ${number(Math.max(...numbers))}. ${legend}${leftOut(read.unknown)}`
      : `There is nothing to read.${leftOut(read.unknown)}`;
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

  /** The units that follow a feature, by correlation. */
  function followers(feature) {
    const read = reading.read;
    const wanted = features.FEATURES[feature](characters());
    const found = [];
    for (let k = 0; k < model.H; k++) {
      const r = features.correlation(wanted, read.ids.map((_, i) => read.states[i + 1][layer()].h[k]));
      if (Number.isFinite(r)) found.push([k, r]);
    }
    return found.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }
  function find() {
    const feature = $("feature").value;
    if (!feature || !reading.read) return colour();
    const found = followers(feature);
    if (!found.length) return colour();
    const [[best, r], ...others] = found;
    $("quantity").value = "h";
    $("unit").value = best;
    const next = others.slice(0, 3).map(([k, other]) => `${k} (${other.toFixed(2)})`).join(", ");
    return colour(`Of the ${plural(model.H, "unit")} of this layer, unit ${best} follows the feature “${feature}” best (correlation ${r.toFixed(2)})${next ? `, then ${next}` : ""}. `);
  }
  function byHand() {
    $("feature").value = "";
    colour();
  }

  function prepare() {
    strip = new Strip($("inside-strip"), "Text, coloured by a unit's value; arrow keys choose a character", detail);
    for (let l = 1; l <= model.L; l++) $("layer").append(element("option", { value: l }, l));
    $("layer").value = model.L;
    const names = [...model.cell.state, ...model.cell.gates.filter(Boolean), ...model.cell.saved];
    for (const name of names) $("quantity").append(element("option", { value: name }, `${name}${MEANING[name] ? `, ${MEANING[name]}` : ""}`));
    $("feature").append(element("option", { value: "" }, "choose …"), ...Object.keys(features.FEATURES).map((name) => element("option", { value: name }, name)));
    $("unit").max = model.H - 1;
    for (const id of ["quantity", "unit"]) $(id).addEventListener("input", byHand);
    $("unit").addEventListener("change", () => colour(followed));
    for (const id of ["layer", "feature"]) $(id).addEventListener("input", find);
    const parts = model.cell.state.length;
    $("inside-lead").textContent = `What the model has read is kept in ${plural(parts * model.H, "number")}${model.L > 1 ? " in each layer" : ""}, ${["one", "two"][parts - 1] || parts} for each unit, and every character changes them. The text is coloured by one of them. Choose a character to see the numbers before and after it.`;
    if (!EQUATIONS[spec.cell]) $("equations").closest("details").remove();
    else {
      $("equations").replaceChildren(formulas.block(EQUATIONS[spec.cell]), element("p", { class: "aside" }, formulas.inline("h⁻"),
        " is the state before the character ", formulas.inline("x"), model.L > 1 ? " (above layer 1, the state of the layer below). " : ". ", formulas.inline("W"), " and ", formulas.inline("b"),
        " are the weights that training has found. ", formulas.inline("σ(a) = 1 / (1 + e⁻ᵃ)"), ", and ", formulas.inline("*"), " multiplies elementwise."));
    }
  }
  return { prepare, show };
})();
