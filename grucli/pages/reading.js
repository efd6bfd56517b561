/* The text of the views read, inside and gradient: read once for all of them. */

const LONGEST = 2000; // characters that are read

const reading = (() => {
  let text = spec.separators ? spec.passage.replaceAll("\x1e", spec.between) : spec.passage;
  let read = null; // {text, ids, states: before each character and after the last, symbols, bits}
  const boxes = [];

  function prepare() {
    if (spec.recorded) return;
    for (const holder of document.querySelectorAll(".source")) {
      const label = `Text (the first ${count(LONGEST)} ${NOUN}s are read)`;
      const box = element("textarea", { spellcheck: "false", dir: "auto", "aria-label": label });
      box.value = text;
      const written = element("button", { class: "written" }, "Read what is in Write");
      written.addEventListener("click", () => take($("draft").value));
      box.addEventListener("input", () => take(box.value));
      boxes.push(box);
      holder.append(element("details", {}, element("summary", {}, "Your own text"), box), written);
    }
  }

  function take(another) {
    text = fromBox(another);
    for (const box of boxes) if (box.value !== another) box.value = another;
    show();
  }

  /** Read the text with the model, unless it has been read. */
  async function show() {
    const job = begin("read"); // which ends another one
    if (read && read.text === text) return draw();
    const { ids, unknown } = spec.recorded ? { ids: spec.proof.ids, unknown: [] } : known(text);
    const first = ids.slice(0, LONGEST);
    const now = { text, ids: first, unknown, cut: ids.length - first.length, states: [], bits: [] };
    let { state, logProbs } = model.begin();
    for (const id of first) {
      now.states.push(state);
      now.bits.push(-logProbs[id] / LN2);
      state = model.step(id, state);
      logProbs = model.next(state);
      if (!(await job.breathe())) return undefined;
    }
    now.states.push(state);
    now.symbols = first.map((id) => spec.symbols[id]);
    read = now;
    reading.at = null;
    return draw();
  }

  /** Draw the view that is seen; the others are drawn when they are. */
  function draw() {
    for (const [id, view] of [["read", surprise], ["inside", inside], ["gradient", gradient]]) {
      if (!$(id).hidden) view.show(read);
    }
  }
  return { prepare, show, at: null, get read() { return read; } };
})();
