/* Features of a text that a unit may follow: those of grucli/analysis/activations.py. */

const features = (() => {
  /** Number of characters since the last that starts something anew. */
  function since(text, starts) {
    let n = 0;
    return text.map((c) => (n = starts(c) ? 0 : n + 1));
  }

  function insideQuotes(text) {
    let open = false;
    let previous = "";
    return text.map((c) => {
      if (c === "“" || (c === '"' && !open)) open = true;
      else if (c === '"' || c === "”" || (c === "\n" && previous === "\n")) open = false;
      previous = c;
      return open ? 1 : 0;
    });
  }

  function insideBrackets(text) {
    let depth = 0;
    return text.map((c) => (depth = Math.max(0, depth + "([{".includes(c) - ")]}".includes(c))));
  }

  const letter = (c) => /\p{L}/u.test(c);

  function afterACapital(text) {
    let open = false;
    return text.map((c) => (open = /\p{Uppercase}/u.test(c) || (open && letter(c))) ? 1 : 0);
  }

  function indentation(text) {
    let spaces = 0;
    let counting = true;
    return text.map((c) => {
      if (c === "\n") [spaces, counting] = [0, true];
      else if (counting && (c === " " || c === "\t")) spaces++;
      else counting = false;
      return spaces;
    });
  }

  function lineInParagraph(text) {
    let lines = 0;
    let previous = "";
    return text.map((c) => {
      if (c === "\n") lines = previous === "\n" ? 0 : lines + 1;
      previous = c;
      return lines;
    });
  }

  const FEATURES = {
    "inside quotes": insideQuotes,
    "inside brackets": insideBrackets,
    "position in line": (text) => since(text, (c) => c === "\n"),
    "position in word": (text) => since(text, (c) => !letter(c)),
    "after a capital": afterACapital,
    "indentation": indentation,
    "line in paragraph": lineInParagraph,
  };

  /** The correlation of two features of a text; NaN if one of them does not vary. */
  function correlation(a, b) {
    const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
    const [ma, mb] = [mean(a), mean(b)];
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      ab += (a[i] - ma) * (b[i] - mb);
      aa += (a[i] - ma) ** 2;
      bb += (b[i] - mb) ** 2;
    }
    return aa > 1e-12 && bb > 1e-12 ? ab / Math.sqrt(aa * bb) : NaN;
  }

  return { FEATURES, correlation };
})();

if (typeof module !== "undefined") module.exports = features;
