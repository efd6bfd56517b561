/* The view that writes. */

const REDRAWN = 40; // milliseconds between two pictures of a growing text

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
