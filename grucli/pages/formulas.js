/* Formulas as MathML, which browsers typeset by themselves. They are written as plain lines:

     dz̃ = dh * (n − h⁻) * z * (1 − z)

   _ begins a subscript, a raised sign is a superscript, and * multiplies elementwise. */

const formulas = (() => {
  const MATH = "http://www.w3.org/1998/Math/MathML";
  const TOKEN = /( ?)(?:(tanh)|(d(?=\p{L}))?(\p{L})(\u0303?)(_\w+)?([⁻ᵀ²′ᵃ]*)|(\d+)|(\S))/gu;
  const RAISED = { "⁻": ["mo", "−"], "ᵀ": ["mi", "T"], "²": ["mn", "2"], "′": ["mo", "′"], "ᵃ": ["mi", "a"] };

  function make(tag, attributes, ...children) {
    const made = document.createElementNS(MATH, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const row = (parts) => (parts.length === 1 ? parts[0] : make("mrow", {}, ...parts));

  /** A letter with what stands above it, below its line and above its line. */
  function symbol(letter, tilde, below, above) {
    const base = tilde ? make("mover", {}, make("mi", {}, letter), make("mo", { stretchy: "false" }, "~"))
      : make("mi", {}, letter);
    const sub = below && row([...below.slice(1)].map((one) => make("mi", {}, one)));
    const sup = above && row([...above].map((one) => make(RAISED[one][0], {}, RAISED[one][1])));
    if (sub && sup) return make("msubsup", {}, base, sub, sup);
    if (sub) return make("msub", {}, base, sub);
    return sup ? make("msup", {}, base, sup) : base;
  }

  /** A formula on one line, as the parts of a row. */
  function parts(line) {
    const found = [];
    let factor = false; // whether the last part can be multiplied by the next
    for (const [, space, name, d, letter, tilde, below, above, digits, sign] of line.normalize("NFD").matchAll(TOKEN)) {
      if (space && factor && (name || letter || sign === "(")) found.push(make("mspace", { width: ".22em" }));
      factor = Boolean(letter || digits || sign === ")");
      if (name) found.push(make("mi", {}, name));
      else if (letter) found.push(...(d ? [make("mi", { mathvariant: "normal" }, d)] : []), symbol(letter, tilde, below, above));
      else if (digits) found.push(make("mn", {}, digits));
      else if ("()".includes(sign)) found.push(make("mo", { stretchy: "false" }, sign));
      else found.push(make("mo", { form: "infix" }, sign === "*" ? "⊙" : sign));
    }
    return found;
  }
  const inline = (line) => make("math", {}, ...parts(line));

  /** Formulas below each other, aligned at their signs. */
  function block(lines) {
    const rows = lines.map((line) => {
      const [formula, ...note] = Array.isArray(line) ? line : [line];
      const [left, right] = formula.includes("=") ? formula.split("=", 2) : ["", formula];
      return make("mtr", {}, make("mtd", { class: "end" }, ...parts(left)),
        make("mtd", {}, ...parts(left ? `= ${right.trim()}` : right)), make("mtd", {}, ...note));
    });
    return make("math", { display: "block" }, make("mtable", { displaystyle: "true" }, ...rows));
  }
  const note = (name, colour) => make("mrow", {}, make("mspace", { class: colour, width: ".75em", height: ".75em" }),
    make("mspace", { width: ".4em" }), make("mtext", {}, name));

  return { block, inline, note };
})();
