/* The view that writes. */

const REDRAWN = 40; // milliseconds between two pictures of a growing text, at least
const SHARE = 8; // one part in so many of the time goes to pictures
const FIRST = 150; // characters that are written when the page is opened
const REMEMBERED = 100; // texts that can be brought back

const writing = (() => {
  let past = null; // what has been read and made: {text, base, made, length, state, logProbs}
  let working = false;
  let typed = -Infinity; // when a person last typed
  const back = [];
  const forth = [];

  /** Read the text in the box; what was read before is not read again. */
  async function read(text, job) {
    const grown = past && text && (spec.separators ? text === past.text : text.startsWith(past.text));
    const begun = grown ? past : { text: "", base: "", made: [], length: 0, ...model.begin() };
    const { ids } = known(fromBox(text.slice(begun.text.length)));
    let { state, logProbs } = begun;
    if (!text && spec.start !== null) {
      state = model.step(spec.start, state); // a text without a beginning begins a line
      logProbs = model.next(state);
    }
    let said = performance.now();
    for (const [i, id] of ids.entries()) {
      state = model.step(id, state);
      if (!(await job.breathe())) return null;
      if (performance.now() - said > 300) {
        said = performance.now();
        busy(true, `Reading ${count(i + 1)} of ${count(ids.length)} …`);
      }
    }
    const same = text === begun.text;
    return {
      base: same ? begun.base : text, made: same ? begun.made : [], length: begun.length + ids.length,
      state, logProbs: ids.length ? model.next(state) : logProbs,
    };
  }

  function options() {
    const value = (id) => ($(id).value === "" ? null : Number($(id).value));
    return { temperature: value("temperature"), topK: value("top-k"), topP: value("top-p"), never: spec.unknown };
  }

  async function go(length = Number($("length").value) || 500) {
    if (working) return undefined;
    const job = begin("write");
    busy(true, "Reading …");
    const text = $("draft").value;
    const now = await read(text, job);
    if (jobs.write !== job.own) return undefined; // the box has been cleared
    if (!now) return busy(false, "Stopped.");
    if (text && !now.length) return busy(false, "The model knows no character of this text, so it writes nothing.");
    remember();
    busy(true, "Writing …");
    const seed = $("seed").value === "" ? Math.floor(1e6 * Math.random()) : Number($("seed").value);
    const made = await make(now, length, engine.randomNumbers(seed + 7919 * now.length), job);
    if (jobs.write !== job.own) return undefined;
    put(now);
    past = { ...now, text: $("draft").value };
    const part = text ? `the last ${plural(made.count, NOUN)}` : `all ${plural(made.count, NOUN)}`;
    return busy(false, `The model wrote ${part}: ${count(Math.round(made.speed))} per second, seed ${seed}.`);
  }

  async function make(now, length, uniform, job) {
    const begun = performance.now();
    let made = 0;
    let next = 0;
    now.made = [...now.made];
    while (made < length && (await job.breathe())) {
      const id = engine.choose(now.logProbs, options(), uniform());
      now.made.push(id);
      now.length++;
      now.state = model.step(id, now.state);
      now.logProbs = model.next(now.state);
      made++;
      const start = performance.now();
      if (start > next) {
        put(now);
        next = start + Math.max(REDRAWN, SHARE * (performance.now() - start)); // a long box takes long
      }
    }
    return { count: made, speed: (1000 * made) / Math.max(1, performance.now() - begun) };
  }

  /** What a person has typed stays as it is, also what the model does not know. */
  function put({ base, made }) {
    const draft = $("draft");
    const atEnd = draft.scrollTop + draft.clientHeight >= draft.scrollHeight - 40;
    draft.value = base + model.decode(made);
    marks.add(base.length, draft.value);
    if (atEnd) draft.scrollTop = draft.scrollHeight;
  }

  function busy(now, message) {
    working = now;
    typed = -Infinity; // what is typed next has a way back of its own
    $("go").setAttribute("aria-disabled", now);
    $("stop").setAttribute("aria-disabled", !now);
    $("undo").setAttribute("aria-disabled", now || !back.length);
    $("draft").readOnly = now;
    $("write-status").textContent = message;
  }

  // ---- the way back: a browser's own goes wrong where the text has grown by itself

  function remember() {
    const text = $("draft").value;
    if (!back.length || back[back.length - 1].text !== text) back.push({ text, parts: marks.parts });
    if (back.length > REMEMBERED) back.shift();
    forth.length = 0;
  }
  function replace(from, to) {
    if (working || !from.length) return;
    to.push({ text: $("draft").value, parts: marks.parts });
    const { text, parts } = from.pop();
    $("draft").value = text;
    marks.show(text, parts);
    changed();
    busy(false, "");
  }
  const undo = () => replace(back, forth);
  const redo = () => replace(forth, back);

  /** Say what the model will not read, before it writes. */
  function changed() {
    const { unknown } = known(fromBox($("draft").value));
    $("write-notice").textContent = unknown.length === 0 ? ""
      : `The model never saw ${some(unknown)}: it reads the text without ${unknown.length > 1 ? "them" : "it"}.`;
  }

  function clear() {
    begin("write"); // ends what is being written
    remember();
    past = null;
    $("draft").value = "";
    marks.show("", []);
    changed();
    busy(false, "");
    $("draft").focus();
  }

  function keys(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const act = command && { enter: () => go(), z: event.shiftKey ? redo : undo, y: redo }[key];
    if (!act) return;
    event.preventDefault();
    act();
  }
  function typing(event) {
    const act = { historyUndo: undo, historyRedo: redo }[event.inputType];
    if (act) {
      event.preventDefault();
      act();
    } else if (performance.now() - typed > 1000) remember();
    $("undo").setAttribute("aria-disabled", working || !back.length);
  }

  /** What Python has written: the page cannot compute the cell. */
  function showWritten() {
    $("write-lead").textContent = `The model wrote this when the page was made. Its cell, ${spec.cell}, is defined in a file of its own, and this page computes GRU, LSTM and RNN alone: so it writes nothing new, and follows no gradient. The commands grucli sample and grucli routes do, with --cell-file. The other tabs show what Python has computed.`;
    $("draft").value = spec.written;
    $("draft").readOnly = true;
    $("draft").setAttribute("aria-label", "A sample of the model");
    document.querySelectorAll("#write .buttons, #write .settings, #write .aside").forEach((one) => one.remove());
  }

  function prepare() {
    $("write-lead").textContent = spec.document
      ? `The model continues what is in the box, ${spec.document} by ${spec.document}. Change it as you like, and press Write on.`
      : "The model continues the text in the box. Change the text as you like, and press Write on.";
    $("length-noun").textContent = spec.level === "byte" ? "Bytes" : "Characters";
    const temperature = () => { $("temperature-shown").textContent = Number($("temperature").value).toFixed(2); };
    $("temperature").addEventListener("input", temperature);
    temperature();
    $("go").addEventListener("click", () => go());
    $("stop").addEventListener("click", () => end("write"));
    $("undo").addEventListener("click", undo);
    $("clear").addEventListener("click", clear);
    $("draft").addEventListener("keydown", keys);
    $("draft").addEventListener("beforeinput", typing);
    $("draft").addEventListener("input", () => {
      marks.edited($("draft").value);
      changed();
      $("write-status").textContent = ""; // it was of another text
      typed = performance.now();
    });
    marks.prepare();
    $("write").addEventListener("keydown", (event) => { if (event.key === "Escape") end("write"); });
  }
  return spec.recorded ? { begin: showWritten, prepare: () => {} } : { begin: () => go(FIRST), prepare };
})();
