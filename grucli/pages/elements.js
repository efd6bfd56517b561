/* What all views are made of: elements, numbers as text, and work that leaves the page usable.

   Text of the model or of the user only ever becomes text. */

const PORTION = 24; // milliseconds of computation between two looks at the keyboard
const LN2 = Math.log(2); // nats in a bit

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
/** Hundredths with one digit; never a zero below zero. */
const hundredths = (x) => (100 * x).toFixed(1).replace(/^-(0\.0)$/, "$1");
const percent = (x) => `${hundredths(x)} %`;
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((name, i) => element("th", { scope: "col", class: i ? "number" : "" }, name)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

/** Correct a number that a field does not allow, and say so. */
function correct(field) {
  const { min, max, step, dataset } = field;
  const typed = Number(field.value);
  const whole = step ? typed : Math.round(typed);
  const allowed = Math.min(max === "" ? Infinity : Number(max), Math.max(min === "" ? -Infinity : Number(min), whole));
  const note = field.closest(".settings").querySelector(".correction");
  note.textContent = "";
  if (field.value === "" || !Number.isFinite(typed)) field.value = dataset.default || "";
  else if (allowed !== typed) {
    note.textContent = `${field.value} is not possible here: ${count(allowed)} is used.`;
    field.value = allowed;
  }
}
function prepareFields() {
  for (const settings of document.querySelectorAll(".settings")) settings.append(element("span", { class: "correction", role: "status" }));
  for (const field of document.querySelectorAll('input[type="number"]')) field.addEventListener("change", () => correct(field));
}
