"use strict";

/* The page: four views of one model. Text of the model or of the user only ever becomes text. */

const page = (() => {
  const spec = JSON.parse(document.getElementById("model").textContent);
  const LN2 = Math.log(2);
  const LONGEST = 2000; // characters that the views read
  const FARTHEST = 64; // steps that the gradient is followed back
  const REDRAWN = 40; // milliseconds between two pictures of a growing text
  const PORTION = 24; // milliseconds of computation between two looks at the keyboard
  const NEAR = 1e-9; // largest difference that the proof allows

  let model = null;
  const $ = (id) => document.getElementById(id);

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const channel = new MessageChannel();
  const waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  /** Let the page breathe. */
  const pause = () => new Promise((resolve) => { waiting.push(resolve); channel.port2.postMessage(0); });

  /** Work of many small pieces that stays interruptible: a newer job of a name ends the older. */
  const jobs = {};
  function begin(name) {
    const job = (jobs[name] = { ended: false, until: performance.now() + PORTION });
    return {
      own: job,
      async breathe() {
        if (performance.now() > job.until) {
          await pause();
          job.until = performance.now() + PORTION;
        }
        return jobs[name] === job && !job.ended;
      },
    };
  }
  const end = (name) => { if (jobs[name]) jobs[name].ended = true; };

  const number = (x, digits = 3) => {
    if (!Number.isFinite(x)) return String(x);
    const size = Math.abs(x);
    return size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(2) : x.toFixed(digits);
  };
  const count = (n) => n.toLocaleString("en-US");
  const percent = (x) => `${(100 * x).toFixed(1)} %`;

  // ---- characters

  const NAMES = { 9: "tab", 10: "line end", 13: "carriage return", 32: "space", 0xfffd: "another character" };
  /** Whether a code point shows nothing of itself, or changes the direction of others. */
  const hidden = (point) => point < 32 || (point >= 0x7f && point < 0xa0) || point === 0xad
    || (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e)
    || (point >= 0x2060 && point <= 0x206f) || (point >= 0xd800 && point <= 0xdfff) || point === 0xfeff;

  /** A symbol as it is shown within a text. */
  function shown(symbol) {
    if (spec.level === "byte" && symbol >= 0x80) return `\\x${symbol.toString(16)}`;
    if (symbol === 10) return "↵\n";
    if (symbol === 9) return "\t";
    return hidden(symbol) ? `⟨${symbol.toString(16)}⟩` : String.fromCodePoint(symbol);
  }
  /** A symbol by name, for lists and for screen readers. */
  function named(symbol) {
    if (spec.level === "byte" && symbol >= 0x80) return `byte ${symbol.toString(16)}`;
    return NAMES[symbol] || (hidden(symbol) ? `U+${symbol.toString(16).padStart(4, "0")}` : String.fromCodePoint(symbol));
  }

  /** The ids of a text, without what the model does not know, and the characters left out. */
  function known(text) {
    const ids = model.encode(text);
    const symbols = spec.level === "byte" ? Array.from(new TextEncoder().encode(text)) : Array.from(text);
    const out = new Set();
    ids.forEach((id, i) => { if (id === null) out.add(spec.level === "byte" ? `byte ${symbols[i].toString(16)}` : symbols[i]); });
    return { ids: ids.filter((id) => id !== null), unknown: [...out] };
  }
  const leftOut = (unknown) => unknown.length === 0 ? ""
    : ` Left out, since the model never saw ${unknown.length > 1 ? "them" : "it"}: ${unknown.slice(0, 12).join(" ")}${unknown.length > 12 ? " …" : ""}.`;

  // ---- tabs

  const tabs = [...document.querySelectorAll('[role="tab"]')];
  function choose(tab, focus = false) {
    for (const one of tabs) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", chosen);
      one.tabIndex = chosen ? 0 : -1;
      $(one.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    if (tab.id !== "tab-write") reading.show();
  }
  function prepareTabs() {
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        choose(tabs[(to + tabs.length) % tabs.length], true);
      });
    });
  }

  // ---- write

  const writing = (() => {
    let past = null; // {text, ids, state, logProbs}: what has been read and made

    /** Read the text in the box; what was read before is not read again. */
    async function read(text, job) {
      const begun = past && text.startsWith(past.text) ? past : { text: "", ids: [], ...model.begin() };
      const { ids, unknown } = known(text.slice(begun.text.length));
      let { state, logProbs } = begun;
      if (!text && !spec.lists && spec.lineEnd !== null) {
        state = model.step(spec.lineEnd, state); // a text without a beginning begins a line
        logProbs = model.next(state);
      }
      for (const id of ids) {
        state = model.step(id, state);
        if (!(await job.breathe())) return null;
      }
      return { ids: [...begun.ids, ...ids], unknown, state, logProbs: ids.length ? model.next(state) : logProbs };
    }

    function options() {
      const value = (id) => ($(id).value === "" ? null : Number($(id).value));
      return { temperature: value("temperature"), topK: value("top-k"), topP: value("top-p"), never: spec.unknown };
    }

    async function go() {
      const job = begin("write");
      busy(true, "Reading …");
      const now = await read($("draft").value, job);
      if (jobs.write !== job.own) return undefined; // the box has been cleared, or written on again
      if (!now) return busy(false, "Stopped.");
      busy(true, "Writing …");
      const uniform = engine.randomNumbers(Number($("seed").value) + 7919 * now.ids.length);
      const length = Number($("length").value) || 500;
      const begun = performance.now();
      let made = 0;
      let drawn = 0;
      while (made < length && (await job.breathe())) {
        const id = engine.choose(now.logProbs, options(), uniform());
        now.ids.push(id);
        now.state = model.step(id, now.state);
        now.logProbs = model.next(now.state);
        made++;
        if (performance.now() - drawn > REDRAWN) {
          drawn = performance.now();
          put(now.ids);
        }
      }
      if (jobs.write !== job.own) return undefined;
      put(now.ids);
      past = { ...now, text: $("draft").value };
      const speed = (1000 * made) / (performance.now() - begun);
      return busy(false, `${count(made)} characters, ${speed.toFixed(0)} a second.${leftOut(now.unknown)}`);
    }

    function put(ids) {
      const draft = $("draft");
      const atEnd = draft.scrollTop + draft.clientHeight >= draft.scrollHeight - 40;
      draft.value = model.decode(ids);
      if (atEnd) draft.scrollTop = draft.scrollHeight;
    }

    function busy(now, message) {
      $("go").disabled = now;
      $("stop").disabled = !now;
      $("draft").readOnly = now;
      $("write-status").textContent = message;
    }

    function prepare() {
      $("write-lead").textContent = spec.lists
        ? "Press Write on, and the model continues the list in the box, line by line. Begin a line yourself, and it completes it."
        : "Press Write on, and the model continues the text in the box, character by character. Change the text as you like: it goes on from there.";
      const temperature = () => { $("temperature-shown").textContent = Number($("temperature").value).toFixed(2); };
      $("temperature").addEventListener("input", temperature);
      temperature();
      $("go").addEventListener("click", go);
      $("stop").addEventListener("click", () => end("write"));
      $("clear").addEventListener("click", () => {
        begin("write"); // ends what is being written
        past = null;
        $("draft").value = "";
        busy(false, "");
        $("draft").focus();
      });
      $("draft").addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); go(); }
        if (event.key === "Escape") end("write");
      });
    }
    return { go, prepare };
  })();

  // ---- a text whose characters can be chosen, by mouse or keys

  class Strip {
    /** @param holder where it goes; label for screen readers; onChoose(index) */
    constructor(holder, label, onChoose) {
      this.onChoose = onChoose;
      this.pre = element("pre", { class: "strip", tabindex: "0", role: "group", "aria-label": label, dir: "auto" });
      holder.append(this.pre);
      this.spans = [];
      this.at = -1;
      this.pre.addEventListener("click", (event) => {
        const i = this.spans.indexOf(event.target.closest("span"));
        if (i >= 0) this.choose(i);
      });
      this.pre.addEventListener("keydown", (event) => {
        const to = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 20, ArrowDown: this.at + 20,
          Home: 0, End: this.spans.length - 1 }[event.key];
        if (to === undefined || !this.spans.length) return;
        event.preventDefault();
        this.choose(Math.min(Math.max(to, 0), this.spans.length - 1));
      });
    }
    show(symbols) {
      this.spans = symbols.map((symbol) => element("span", {}, shown(symbol)));
      this.pre.replaceChildren(...this.spans);
      this.at = -1;
    }
    /** Colour characters: strengths in [-1, 1], warm above zero and cold below. */
    colour(strengths) {
      this.spans.forEach((span, i) => {
        const strength = strengths[i] || 0;
        span.className = strength < 0 ? "cold" : "hot";
        span.style.setProperty("--strength", Math.min(1, Math.abs(strength)).toFixed(3));
        if (i === this.at) span.classList.add("chosen");
      });
    }
    choose(i) {
      if (this.spans[this.at]) this.spans[this.at].classList.remove("chosen");
      this.at = i;
      const span = this.spans[i];
      if (!span) return;
      span.classList.add("chosen");
      span.scrollIntoView({ block: "nearest" });
      this.onChoose(i);
    }
  }

  // ---- the text of the views read, inside and gradient

  const reading = (() => {
    let text = spec.passage;
    let read = null; // {text, ids, before: states before each character, steps, logProbs}
    const boxes = [];

    function prepare() {
      for (const holder of document.querySelectorAll(".source")) {
        const label = `Text (the first ${count(LONGEST)} characters are read)`;
        const box = element("textarea", { rows: "5", spellcheck: "false", dir: "auto", "aria-label": label });
        box.value = text;
        const details = element("details", {}, element("summary", {}, "Another text"), box);
        box.addEventListener("input", () => {
          text = box.value;
          for (const other of boxes) if (other !== box) other.value = text;
          show();
        });
        boxes.push(box);
        holder.append(details);
      }
    }

    /** Read the text with the model, unless it has been read. */
    async function show() {
      if (read && read.text === text) return draw();
      const job = begin("read");
      const { ids, unknown } = known(text);
      const some = ids.slice(0, LONGEST);
      const now = { text, ids: some, unknown, cut: ids.length - some.length, states: [], logProbs: [] };
      let { state, logProbs } = model.begin();
      for (const id of some) {
        now.states.push(state);
        now.logProbs.push(logProbs);
        state = model.step(id, state);
        logProbs = model.next(state);
        if (!(await job.breathe())) return undefined;
      }
      now.states.push(state);
      read = now;
      now.symbols = some.map((id) => spec.symbols[id]);
      now.bits = some.map((id, i) => -now.logProbs[i][id] / LN2);
      return draw(true);
    }

    function draw(anew = false) {
      for (const view of [surprise, inside, gradient]) view.show(read, anew);
    }
    return { prepare, show, get read() { return read; } };
  })();

  // ---- read

  const surprise = (() => {
    const FULL = 8; // bits of full colour
    let strip = null;
    let drawn = null;

    function show(read) {
      if (drawn === read) return;
      drawn = read;
      strip.show(read.symbols);
      strip.colour(read.bits.map((bits) => bits / FULL));
      const total = read.bits.reduce((a, b) => a + b, 0);
      const noun = spec.level === "byte" ? "byte" : "character";
      $("read-totals").textContent = read.ids.length
        ? `${count(read.ids.length)} ${noun}s, ${total.toFixed(1)} bits: ${(total / read.ids.length).toFixed(3)} bits a ${noun}.`
          + (read.cut ? ` The rest, ${count(read.cut)}, was not read.` : "") + leftOut(read.unknown)
        : `There is nothing to read.${leftOut(read.unknown)}`;
      if (read.ids.length) strip.choose(hardest(read.bits));
      else $("read-detail").replaceChildren();
    }
    const hardest = (bits) => bits.indexOf(Math.max(...bits));

    function detail(i) {
      const read = reading.read;
      const logProbs = read.logProbs[i];
      const order = Array.from(logProbs.keys()).sort((a, b) => logProbs[b] - logProbs[a]);
      const rank = order.indexOf(read.ids[i]);
      const rows = order.slice(0, 10).map((id) => row(id, logProbs[id], id === read.ids[i]));
      if (rank >= 10) rows.push(row(read.ids[i], logProbs[read.ids[i]], true));
      $("read-detail").replaceChildren(
        element("h2", {}, `In the place of “${named(read.symbols[i])}”`),
        element("p", { class: "aside" }, `${read.bits[i].toFixed(2)} bits; the model's choice number ${count(rank + 1)}.`),
        table(["", "probability", ""], rows));
    }
    function row(id, logProb, chosen) {
      const p = Math.exp(logProb);
      const bar = element("span", { class: "bar" });
      bar.style.width = `${(8 * p).toFixed(2)}rem`;
      const made = element("tr", chosen ? { class: "chosen-row" } : {},
        element("td", { class: "symbol" }, named(spec.symbols[id])),
        element("td", { class: "number" }, percent(p)), element("td", {}, bar));
      return made;
    }
    function prepare() { strip = new Strip($("read-strip"), "Text, coloured by surprise; arrow keys choose a character", detail); }
    return { prepare, show };
  })();

  function table(heads, rows) {
    const head = element("tr", {}, ...heads.map((name, i) => element("th", { scope: "col", class: i ? "number" : "" }, name)));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  }

  // ---- look inside

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

  const FEATURES = {
    "quotes": (text) => {
      let open = false;
      let previous = "";
      return text.map((c) => {
        if (c === "“" || (c === '"' && !open)) open = true;
        else if (c === '"' || c === "”" || (c === "\n" && previous === "\n")) open = false;
        previous = c;
        return open ? 1 : 0;
      });
    },
    "brackets": (text) => {
      let depth = 0;
      return text.map((c) => (depth = Math.max(0, depth + "([{".includes(c) - ")]}".includes(c))));
    },
    "the position in the line": (text) => since(text, (c) => c === "\n"),
    "the position in the word": (text) => since(text, (c) => !/[\p{L}\p{N}]/u.test(c)),
    "upper case": (text) => text.map((c) => (c !== c.toLowerCase() ? 1 : 0)),
  };
  function since(text, starts) {
    let n = 0;
    return text.map((c) => (n = starts(c) ? 0 : n + 1));
  }

  /** The correlation of two features of a text; NaN if one of them does not vary. */
  function correlation(a, b) {
    const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
    const [ma, mb] = [mean(a), mean(b)];
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      ab += (a[i] - ma) * (b[i] - mb);
      aa += (a[i] - ma) ** 2;
      bb += (b[i] - mb) ** 2;
    }
    return aa > 1e-12 && bb > 1e-12 ? ab / Math.sqrt(aa * bb) : NaN;
  }

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
      const wanted = FEATURES[feature](text);
      const found = [];
      for (let k = 0; k < model.H; k++) {
        const r = correlation(wanted, read.ids.map((_, i) => read.states[i + 1][layer()].h[k]));
        if (Number.isFinite(r)) found.push([k, r]);
      }
      return found.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    }
    function find() {
      const feature = $("feature").value;
      if (!feature || !reading.read) return;
      const found = followers(feature);
      if (!found.length) {
        $("inside-totals").textContent = `The text does not vary in ${feature}: give it another text.`;
        return;
      }
      $("quantity").value = "h";
      $("unit").value = found[0][0];
      colour();
      $("inside-totals").textContent = `Units that follow ${feature} most closely: `
        + found.slice(0, 4).map(([k, r]) => `${k} (correlation ${r.toFixed(2)})`).join(", ") + ". The first is shown.";
    }

    function prepare() {
      strip = new Strip($("inside-strip"), "Text, coloured by a unit's value; arrow keys choose a character", detail);
      for (let l = 1; l <= model.L; l++) $("layer").append(element("option", { value: l }, l));
      $("layer").value = model.L;
      const names = [...model.cell.state, ...model.cell.gates.filter(Boolean), ...model.cell.saved];
      for (const name of names) $("quantity").append(element("option", { value: name }, `${name}${MEANING[name] ? `, ${MEANING[name]}` : ""}`));
      $("feature").append(element("option", { value: "" }, "choose …"), ...Object.keys(FEATURES).map((name) => element("option", { value: name }, name)));
      $("unit").max = model.H - 1;
      for (const id of ["layer", "quantity", "unit"]) $(id).addEventListener("input", colour);
      $("feature").addEventListener("input", find);
      $("inside-lead").append(
        `A model of ${count(model.H)} units a layer keeps what it has read in a state of ${count(model.H)} numbers, and updates it at every character. The text is coloured by one of them; choose a character to see the numbers before and after it.`,
        element("span", { class: "equation" }, [...EQUATIONS[spec.cell], "", "h⁻ is the state before the character x, σ(a) = 1 / (1 + e⁻ᵃ), and * multiplies elementwise."].join("\n")));
    }
    return { prepare, show };
  })();

  // ---- follow the gradient

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

  // ---- proof

  /** Compare the page with NumPy: the largest differences of a log probability and of the routes. */
  async function prove() {
    const { ids, log_probs: expected, norms, shares } = spec.proof;
    const job = begin("proof");
    let worst = 0;
    const differ = (a, b) => { worst = Math.max(worst, Number.isFinite(a) && Number.isFinite(b) ? Math.abs(a - b) : Infinity); };
    let { state, logProbs } = model.begin();
    let before = state;
    const steps = [];
    for (const [i, id] of ids.entries()) {
      differ(logProbs[id], expected[i]);
      before = state;
      state = model.step(id, state);
      logProbs = model.next(state);
      steps.unshift({ ...state[model.L - 1], reset: id === spec.separator });
      await job.breathe();
    }
    const found = [];
    for (const step of model.follow(steps.slice(1, 1 + norms.length), model.lossGradient(before, ids[ids.length - 1]))) {
      found.push(step);
      await job.breathe();
    }
    norms.forEach((norm, k) => differ(found[k] ? found[k].norm : NaN, norm));
    shares.forEach((of, k) => Object.entries(of).forEach(([name, share]) => differ(found[k] ? found[k].shares[name] : NaN, share)));
    found.forEach(({ difference }) => differ(difference, 0));
    return { worst, characters: ids.length, steps: norms.length };
  }
  function show({ worst, characters, steps }) {
    const passed = worst <= NEAR;
    document.documentElement.dataset.selftest = passed ? "passed" : "failed";
    $("proof").className = passed ? "passed" : "failed";
    $("proof").textContent = passed
      ? `✓ This page computes what NumPy computed: ${characters} characters and ${steps} steps of gradient differ by ${worst.toExponential(0)} at most.`
      : `✗ This page does not compute what NumPy computed (difference ${number(worst)}): the file may be damaged, or the browser computes differently. Do not rely on its numbers.`;
  }

  function about() {
    const { title, subtitle, facts } = spec.about;
    $("title").textContent = title;
    $("subtitle").textContent = subtitle;
    for (const [name, value] of facts) $("about").append(element("dt", {}, name), element("dd", {}, value));
  }

  function fail(error) {
    document.documentElement.dataset.selftest = "failed";
    $("proof").className = "failed";
    $("proof").textContent = `✗ This page cannot run its model (${error.message}): the file may be damaged.`;
  }

  async function start() {
    try {
      $("proof").textContent = "Checking the arithmetic …";
      about();
      model = new engine.Model(spec);
      prepareTabs();
      for (const view of [writing, reading, surprise, inside, gradient]) view.prepare();
      writing.go();
      show(await prove());
    } catch (error) {
      fail(error);
    }
  }

  start();
  return { logProbs: (text) => model.logProbs(text) };
})();

window.grucli = page;
