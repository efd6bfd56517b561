/* A text whose characters can be chosen, by mouse or keys. */

class Strip {
  /** @param holder where it goes; label for screen readers; onChoose(index) */
  constructor(holder, label, onChoose) {
    this.onChoose = onChoose;
    this.pre = element("pre", { class: "strip", tabindex: "0", role: "group", "aria-label": label, dir: "auto" });
    holder.append(this.pre);
    this.read = null;
    this.spans = [];
    this.at = -1;
    this.column = null; // where ArrowUp and ArrowDown go along
    this.pre.addEventListener("click", (event) => {
      const i = this.spans.indexOf(event.target.closest("span"));
      if (i >= 0) this.take(i);
    });
    this.pre.addEventListener("keydown", (event) => {
      if (!this.spans.length || event.ctrlKey || event.altKey || event.metaKey) return;
      const line = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      const to = line ? this.onLine(line)
        : { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, Home: 0, End: this.spans.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const { column } = this;
      this.take(Math.min(Math.max(to, 0), this.spans.length - 1));
      this.column = line ? column : null;
    });
  }
  /** Show what has been read; false if it is shown already. */
  show(read) {
    if (this.read === read) return false;
    this.read = read;
    this.spans = read.symbols.map((symbol) => element("span", {}, shown(symbol)));
    this.pre.replaceChildren(...this.spans);
    this.at = -1;
    return true;
  }
  /** Colour characters: strengths in [-1, 1], warm above zero and cold below. */
  colour(strengths) {
    this.spans.forEach((span, i) => {
      const strength = strengths[i] || 0;
      span.className = strength < 0 ? "cold" : "hot";
      span.style.setProperty("--strength", Math.min(1, Math.abs(strength)).toFixed(3));
      if (i === this.at) span.classList.add("chosen");
    });
  }
  /** The character of the next line, or of the one before, below or above the chosen one. */
  onLine(direction) {
    const here = this.spans[this.at];
    if (!here) return 0;
    if (this.column === null) this.column = here.offsetLeft;
    const away = (a, b) => Math.abs(a.offsetTop - b.offsetTop) > here.offsetHeight / 2;
    let i = this.at;
    while (this.spans[i] && !away(this.spans[i], here)) i += direction;
    const first = this.spans[i];
    if (!first) return this.at;
    let best = i;
    const distance = (j) => Math.abs(this.spans[j].offsetLeft - this.column);
    for (; this.spans[i] && !away(this.spans[i], first); i += direction) if (distance(i) < distance(best)) best = i;
    return best;
  }
  /** A person chooses a character: it stays chosen in the other views. */
  take(i) {
    this.column = null;
    reading.at = i;
    this.choose(i);
    this.spans[i].scrollIntoView({ block: "nearest" });
  }
  choose(i) {
    if (this.spans[this.at]) this.spans[this.at].classList.remove("chosen");
    this.at = i;
    const span = this.spans[i];
    if (!span) return;
    span.classList.add("chosen");
    this.reveal();
    this.onChoose(i);
  }
  /** Scroll the text, and not the page, to the chosen character. */
  reveal() {
    const span = this.spans[this.at];
    if (!span) return;
    const { scrollTop, clientHeight } = this.pre;
    const inside = span.offsetTop >= scrollTop && span.offsetTop + span.offsetHeight <= scrollTop + clientHeight;
    if (!inside) this.pre.scrollTop = span.offsetTop - 0.7 * clientHeight;
  }
  /** Choose what was chosen in another view, or else a character to begin with. */
  resume(first) {
    const wanted = reading.at === null ? (this.at < 0 ? first : this.at) : reading.at;
    if (wanted === this.at) this.reveal();
    else this.choose(wanted);
  }
}
