/* The view that reads: a text coloured by surprise. */

const surprise = (() => {
  const FULL = 8; // bits of full colour
  let strip = null;

  function show(read) {
    if (!strip.show(read)) {
      strip.resume(0);
      return;
    }
    strip.colour(read.bits.map((bits) => bits / FULL));
    const total = read.bits.reduce((a, b) => a + b, 0);
    $("read-totals").textContent = read.ids.length
      ? `${plural(read.ids.length, NOUN)}, ${total.toFixed(1)} bits: ${(total / read.ids.length).toFixed(3)} bits per ${NOUN}.`
        + (read.cut ? ` The rest, ${count(read.cut)}, was not read.` : "") + leftOut(read.unknown)
      : `There is nothing to read.${leftOut(read.unknown)}`;
    if (read.ids.length) strip.resume(hardest(read.bits));
    else $("read-detail").replaceChildren();
  }
  const hardest = (bits) => bits.indexOf(Math.max(...bits));

  function detail(i) {
    const read = reading.read;
    const logProbs = i ? model.next(read.states[i]) : model.begin().logProbs;
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
