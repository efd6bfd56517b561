/* The view that follows the gradient of one loss back through the text. */

const FARTHEST = 64; // steps that the gradient is followed back

const gradient = (() => {
  // the order of the colours, which are those of grucli/charts.py
  const COLOURS = ["direct", "update", "candidate", "reset", "input", "forget", "output", "recurrent"];
  const colourOf = (name) => `route-${COLOURS.indexOf(name)}`;
  const ROUTES = {
    gru: [["dh⁻ = dh * (1 − z)", "direct"], ["+ dz̃ W_hzᵀ", "update"], ["+ (dñ W_hnᵀ) * r", "candidate"], ["+ dr̃ W_hrᵀ", "reset"],
      ["dz̃ = dh * (n − h⁻) * z * (1 − z)"], ["dñ = dh * z * (1 − n²)"], ["dr̃ = (dñ W_hnᵀ) * h⁻ * r * (1 − r)"]],
    "gru-after": [["dh⁻ = dh * (1 − z)", "direct"], ["+ dz̃ W_hzᵀ", "update"], ["+ du W_hnᵀ", "candidate"], ["+ dr̃ W_hrᵀ", "reset"],
      ["dz̃ = dh * (n − h⁻) * z * (1 − z)"], ["dñ = dh * z * (1 − n²)"], ["du = dñ * r"], ["dr̃ = dñ * u * r * (1 − r)"]],
    lstm: [["dc⁻ = dc * f", "direct"], ["dh⁻ = dĩ W_hiᵀ", "input"], ["+ df̃ W_hfᵀ", "forget"], ["+ dõ W_hoᵀ", "output"],
      ["+ dg̃ W_hgᵀ", "candidate"], ["dc = dc′ + dh * o * (1 − u²)"], ["dĩ = dc * g * i * (1 − i)"], ["df̃ = dc * c⁻ * f * (1 − f)"],
      ["dõ = dh * u * o * (1 − o)"], ["dg̃ = dc * i * (1 − g²)"], ["u = tanh(c)"]],
    rnn: [["dh⁻ = (dh * (1 − h²)) W_hᵀ", "recurrent"]],
  };
  const SVG = "http://www.w3.org/2000/svg";
  let strip = null;

  function show(read) {
    if (strip.show(read)) {
      end("gradient");
      for (const id of ["gradient-detail", "gradient-chart", "gradient-table"]) $(id).replaceChildren();
    }
    if (read.ids.length > 1) strip.resume(Math.min(read.ids.length - 1, 100));
    else $("gradient-totals").textContent = `The gradient needs two ${NOUN}s or more.`;
  }

  function routeNames() { return [...new Set(model.cell.routes.map(([name]) => name))]; }

  async function detail(i) {
    const job = begin("gradient");
    const read = reading.read;
    const from = model.lossGradient(read.states[i], read.ids[i]);
    const start = Math.sqrt(engine.squared(from));
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
    const loss = `The model gave “${named(read.symbols[i])}” a probability of ${percent(2 ** -read.bits[i])}: its loss is ${(read.bits[i] * LN2).toFixed(3)} nats. `;
    $("gradient-totals").textContent = loss + (found.length
      ? "The colours are the size of its gradient at the state after each earlier character."
      : "No gradient goes back from here: choose a later character.");
    sums(found, worst);
    chart(found, start);
    shares(found, start);
  }

  function sums(found, worst) {
    const one = found[0];
    const lines = one ? [
      element("p", {}, `Training computes the gradient as a whole, in its backward pass. The sum of the routes must be the same. One step back, for a gradient of norm 1: the sum of the routes has norm ${one.sum.toPrecision(12)}, the backward pass ${one.backward.toPrecision(12)}.`),
      element("p", { class: "aside" }, `The two are computed separately: each route by a function of its own, and then added; the backward pass at once, as in training. Over ${plural(found.length, "step")} they ${worst === 0 ? "are equal in every digit" : `differ by ${worst.toExponential(1)} at most`}. The line at the end of this page compares both with NumPy.`)] : [];
    const direct = spec.cell === "rnn"
      ? "The only route goes through the matrix W_h at every step, so the gradient shrinks or grows quickly."
      : `Only the direct route goes through no matrix: it multiplies each number by ${spec.cell === "lstm" ? "f" : "1 − z"} alone, so what it carries can last for many steps.`;
    const [terms, where] = [[], []];
    for (const [line, name] of ROUTES[spec.cell]) (name ? terms : where).push(name ? [line, formulas.note(name, colourOf(name))] : line);
    $("gradient-detail").replaceChildren(element("p", {}, `Each term of this sum is a route. ${direct}`),
      element("div", { class: "equation" }, formulas.block(terms), ...(where.length ? [element("p", { class: "aside" }, "where"), formulas.block(where)] : [])),
      ...(spec.cell === "lstm" ? [element("p", { class: "aside" }, formulas.inline("dc′"), " comes from the step after.")] : []), ...lines);
  }

  /** The reach of the gradient, by routes. */
  function chart(found, start) {
    const names = routeNames();
    // as wide as its place, so that its text has the size of text
    const width = Math.min(760, Math.max(280, $("gradient-chart").clientWidth || 560));
    const [height, left, bottom] = [230, 58, 24];
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
    let labelled = -Infinity;
    found.forEach(({ shares: of }, k) => {
      const positive = names.map((name) => Math.max(0, of[name] || 0));
      const total = positive.reduce((a, b) => a + b, 0) || 1;
      let below = 0;
      positive.forEach((share, route) => {
        const part = (relative[k] * share) / total;
        make("rect", { class: colourOf(names[route]), x: left + k * step, width: Math.max(1, step - 1), y: y(below + part), height: Math.max(0, y(below) - y(below + part)) });
        below += part;
      });
      const middle = left + (k + 0.5) * step;
      if ([1, 2, 4, 8, 16, 32, 64].includes(k + 1) && middle - labelled > 14) {
        labelled = middle;
        make("text", { x: middle, y: height - bottom + 16, "text-anchor": "middle" }, k + 1);
      }
    });
    const caption = element("p", { class: "aside" }, `From left to right: 1, 2, 3 … ${NOUN}s further back. Height: how much of the gradient is left there (100 % is what the loss gives to the last state). Colours: the routes that carry it over that step.`);
    const key = element("ul", { class: "key" }, ...names.map((name) => element("li", {}, element("i", { class: colourOf(name) }), name)));
    $("gradient-chart").replaceChildren(...(found.length ? [key, svg, caption] : []));
  }

  function shares(found, start) {
    const names = routeNames();
    const rows = [1, 2, 4, 8, 16, 32, 64].filter((k) => k <= found.length).map((k) => {
      const { norm, shares: of } = found[k - 1];
      return element("tr", {}, element("td", { class: "number" }, k), element("td", { class: "number" }, hundredths(norm / start)),
        ...names.map((name) => element("td", { class: "number" }, hundredths(of[name] || 0))));
    });
    const made = table(["steps back", "left", ...names], rows);
    $("gradient-table").replaceChildren(...(rows.length ? [made, element("p", { class: "aside" },
      "In per cent: what is left of the gradient, and the part of it that each route carries over that step. The parts add up to 100. A part below zero works against the others, and the chart leaves it out.")] : []));
  }

  function prepare() {
    strip = new Strip($("gradient-strip"), "Text, coloured by the gradient that arrives; arrow keys choose the character whose loss is followed", detail);
    $("gradient-lead").textContent = "How far back does the model look? Choose a character: the stronger the colour of an earlier one, the more the model's memory of it counts for this prediction. Training follows the same ways back: where no gradient arrives, it learns nothing."
      + (model.L > 1 ? " Only the top layer is followed; those below have ways back of their own." : "");
  }
  return { prepare, show };
})();
