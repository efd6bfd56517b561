/* The text of the views read, inside and gradient: read once for all of them. */

const LONGEST = 2000; // characters that are read

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
