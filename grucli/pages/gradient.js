/* The view that follows the gradient of one loss back through the text. */

const FARTHEST = 64; // steps that the gradient is followed back

const gradient = (() => {
  const ROUTES = {
    gru: "dh⁻ = dh * (1 − z)  direct\n    + dz̃ W_hzᵀ  update\n    + (dñ W_hnᵀ) * r  candidate\n    + dr̃ W_hrᵀ  reset",
    "gru-after": "dh⁻ = dh * (1 − z)  direct\n    + dz̃ W_hzᵀ  update\n    + du W_hnᵀ  candidate\n    + dr̃ W_hrᵀ  reset",
    lstm: "dc⁻ = dc * f  direct\ndh⁻ = dĩ W_hiᵀ  input + df̃ W_hfᵀ  forget + dõ W_hoᵀ  output + dg̃ W_hgᵀ  candidate",
    rnn: "dh⁻ = (dh * (1 − h²)) W_hᵀ  recurrent",
  };
  const SVG = "http://www.w3.org/2000/svg";
  let strip = null;
  let drawn = null;

  function show(read, anew) {
    if (drawn === read && !anew) return;
    drawn = read;
    strip.show(read.symbols);
    for (const id of ["gradient-detail", "gradient-chart", "gradient-table"]) $(id).replaceChildren();
    if (read.ids.length > 1) strip.choose(Math.min(read.ids.length - 1, 100));
    else $("gradient-totals").textContent = "The gradient needs two characters or more.";
  }

  function routeNames() { return [...new Set(model.cell.routes.map(([name]) => name))]; }

  async function detail(i) {
    const job = begin("gradient");
    const read = reading.read;
    const from = model.lossGradient(read.states[i], read.ids[i]);
    const start = Math.sqrt(Object.values(from).reduce((sum, part) => sum + part.reduce((a, b) => a + b * b, 0), 0));
    const steps = [];
    for (let t = i; t > Math.max(0, i - FARTHEST); t--) {
      const state = read.states[t][model.L - 1];
      steps.push({ ...state, reset: read.ids[t - 1] === spec.separator });
    }
    const found = [];
    for (const step of model.follow(steps, from)) {
      found.push(step);
      if (!(await job.breathe())) return;
    }
    const strengths = new Array(read.ids.length).fill(0);
    // the state after character j is reached i - 1 - j steps back
    const largest = Math.max(start, ...found.map(({ norm }) => norm));
    if (i > 0) strengths[i - 1] = Math.sqrt(start / largest);
    found.forEach(({ norm }, k) => { if (i - 2 - k >= 0) strengths[i - 2 - k] = Math.sqrt(norm / largest); });
    strip.colour(strengths);
    const worst = Math.max(0, ...found.map(({ difference }) => difference));
    $("gradient-totals").textContent = found.length
      ? `Loss of “${named(read.symbols[i])}”: ${(read.bits[i] * LN2).toFixed(3)} nats. The stronger the colour of an earlier character, the larger the gradient at the state after it.`
      : `Loss of “${named(read.symbols[i])}”: ${(read.bits[i] * LN2).toFixed(3)} nats. No gradient goes back from here: choose a later character.`;
    sums(found, worst);
    chart(found, start);
    shares(found, start);
  }

  function sums(found, worst) {
    const one = found[0];
    const lines = one ? [
      element("h2", {}, "Sum of the routes = backward pass"),
      element("p", {}, `One step back, for a gradient of norm 1: the sum of the routes has norm ${one.sum.toPrecision(12)}, the backward pass ${one.backward.toPrecision(12)}.`),
      element("p", { class: "aside" }, `Over ${found.length} steps the largest difference is ${worst === 0 ? "exactly 0" : worst.toExponential(1)}.`)] : [];
    $("gradient-detail").replaceChildren(
      ...lines, element("p", { class: "equation" }, ROUTES[spec.cell]));
  }

  /** How far the gradient reaches, and which routes carry it: bars by steps back. */
  function chart(found, start) {
    const names = routeNames();
    const [width, height, left, bottom] = [720, 220, 58, 34];
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Norm of the gradient by steps back, divided among the routes; the table below has the numbers");
    const make = (tag, attributes, text = "") => {
      const made = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.textContent = text;
      svg.append(made);
    };
    const slots = Math.max(found.length, 1);
    const step = (width - left - 10) / slots;
    const relative = found.map(({ norm }) => norm / start);
    const high = Math.max(1e-12, ...relative);
    const y = (value) => height - bottom - (height - bottom - 12) * (value / high);
    make("text", { x: left - 6, y: y(high) + 4, "text-anchor": "end" }, percent(high));
    make("text", { x: left - 6, y: y(0) + 4, "text-anchor": "end" }, "0");
    found.forEach(({ shares: of }, k) => {
      const positive = names.map((name) => Math.max(0, of[name] || 0));
      const total = positive.reduce((a, b) => a + b, 0) || 1;
      let below = 0;
      positive.forEach((share, route) => {
        const part = (relative[k] * share) / total;
        make("rect", { class: `route-${route}`, x: left + k * step, width: Math.max(1, step - 1), y: y(below + part), height: Math.max(0, y(below) - y(below + part)) });
        below += part;
      });
      if ([1, 2, 4, 8, 16, 32, 64].includes(k + 1)) {
        make("text", { x: left + (k + 0.5) * step, y: height - bottom + 16, "text-anchor": "middle" }, k + 1);
      }
    });
    make("text", { x: left, y: height - 4 }, "steps back; height: norm of the gradient there, relative to its start; colours: routes of that step");
    const key = element("ul", { class: "key" }, ...names.map((name, route) => element("li", {}, element("i", { class: `route-${route}` }), name)));
    $("gradient-chart").replaceChildren(...(found.length ? [svg, key] : []));
  }

  function shares(found, start) {
    const names = routeNames();
    const rows = [1, 2, 4, 8, 16, 32, 64].filter((k) => k <= found.length).map((k) => {
      const { norm, shares: of } = found[k - 1];
      return element("tr", {}, element("td", { class: "number" }, k), element("td", { class: "number" }, percent(norm / start)),
        ...names.map((name) => element("td", { class: "number" }, percent(of[name] || 0))));
    });
    const made = table(["steps back", "gradient that is left", ...names], rows);
    $("gradient-table").replaceChildren(...(rows.length ? [made, element("p", { class: "aside" },
      "A share is the part of the gradient that a route carries over this step, along the whole; shares add up to 100 %, and one below zero points against the whole. A stack shows the positive shares.")] : []));
  }

  function prepare() {
    strip = new Strip($("gradient-strip"), "Text, coloured by the gradient that arrives; arrow keys choose the character whose loss is followed", detail);
    const direct = spec.cell === "rnn"
      ? "Its only route goes through the matrix W_h at every step, so the gradient shrinks or grows quickly."
      : `Only the direct route goes through no matrix: it multiplies each number by ${spec.cell === "lstm" ? "f" : "1 − z"} alone, so what it carries can last for many steps.`;
    $("gradient-lead").append(
      `Choose a character: the gradient of its loss flows back through the state, character by character, along ${routeNames().length === 1 ? "one route" : `${{ 4: "four", 5: "five" }[routeNames().length]} kinds of routes`}. ${direct}`);
  }
  return { prepare, show };
})();
