/* The page begins: its tabs, what it says of the model, and the first text. */

if (spec.recorded) $("tab-gradient").remove();
const tabs = [...document.querySelectorAll('[role="tab"]')];
function chooseTab(tab, focus = false) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", chosen);
    one.tabIndex = chosen ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  if (tab.id !== "tab-write") reading.show();
  try {
    history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  } catch { /* a page within another page has no address */ }
}
/** The tab that the address names, such as #read. */
function chooseTabByAddress() {
  const tab = tabs.find((one) => `#${one.getAttribute("aria-controls")}` === location.hash);
  if (tab) chooseTab(tab);
}
function prepareTabs() {
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => chooseTab(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      chooseTab(tabs[(to + tabs.length) % tabs.length], true);
    });
  });
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
    prepareFields();
    for (const view of [writing, reading, surprise, inside, gradient]) view.prepare();
    chooseTabByAddress();
    addEventListener("hashchange", chooseTabByAddress);
    writing.begin();
    showProof(await prove());
  } catch (error) {
    fail(error);
  }
}

start();
window.grucli = { logProbs: (text) => model.logProbs(text) };
