/* Symbols of the model, as they are shown. */

const spec = JSON.parse(document.getElementById("model").textContent);
let model = null; // set when the page starts

const NAMES = { 9: "tab", 10: "line end", 13: "carriage return", 30: spec.separators && "end of a document", 32: "space", 0xa0: "no-break space", 0xfe0f: "emoji selector", 0xfffd: "another character" };
/** Whether a code point shows nothing of itself, or changes the direction of others. */
const hidden = (point) => point < 32 || (point >= 0x7f && point < 0xa0) || point === 0xad || point === 0x61c
  || (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e)
  || (point >= 0x2060 && point <= 0x206f) || (point >= 0xd800 && point <= 0xdfff) || point === 0xfeff
  || (point >= 0xfff9 && point <= 0xfffb);

/** A symbol as it is shown within a text. */
function shown(symbol) {
  if (spec.level === "byte" && symbol >= 0x80) return `\\x${symbol.toString(16)}`;
  if (symbol === 10) return "↵\n";
  if (symbol === 0x1e && spec.separators) return "␞\n";
  if (symbol === 9) return "\t";
  return hidden(symbol) ? `⟨${symbol.toString(16)}⟩` : String.fromCodePoint(symbol);
}
/** A symbol by name, for lists and for screen readers. */
function named(symbol) {
  if (spec.level === "byte" && symbol >= 0x80) return `byte ${symbol.toString(16)}`;
  return NAMES[symbol] || (hidden(symbol) ? `U+${symbol.toString(16).padStart(4, "0")}` : String.fromCodePoint(symbol));
}

const NOUN = spec.level === "byte" ? "byte" : "character";

// a box has \n for every line end of the training text
const times = (symbol) => spec.counts[spec.symbols.indexOf(symbol)] || 0;
const LINE_END = 2 * times(13) <= times(10) ? "\n" : 2 * times(10) < times(13) ? "\r" : "\r\n";
const fromBox = (text) => text.replaceAll("\n", LINE_END);

/** The ids of a text, and the characters that the model does not know. */
function known(text) {
  const ids = model.encode(text);
  const symbols = model.symbolsOf(text);
  const out = new Set();
  ids.forEach((id, i) => { if (id === null) out.add(named(symbols[i])); });
  return { ids: ids.filter((id) => id !== null), unknown: [...out] };
}
const some = (unknown) => unknown.slice(0, 12).join(" ") + (unknown.length > 12 ? " …" : "");
const leftOut = (unknown) => unknown.length === 0 ? ""
  : ` Left out, since the model never saw ${unknown.length > 1 ? "them" : "it"}: ${some(unknown)}.`;
