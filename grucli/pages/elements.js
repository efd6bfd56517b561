/* What all views are made of: elements, numbers as text, and work that leaves the page usable.

   Text of the model or of the user only ever becomes text. */

const PORTION = 24; // milliseconds of computation between two looks at the keyboard

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

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((name, i) => element("th", { scope: "col", class: i ? "number" : "" }, name)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}
