/* A text whose characters can be chosen, by mouse or keys. */

class Strip {
  /** @param holder where it goes; label for screen readers; onChoose(index) */
  constructor(holder, label, onChoose) {
    this.onChoose = onChoose;
    this.pre = element("pre", { class: "strip", tabindex: "0", role: "group", "aria-label": label, dir: "auto" });
    holder.append(this.pre);
    this.spans = [];
    this.at = -1;
    this.pre.addEventListener("click", (event) => {
      const i = this.spans.indexOf(event.target.closest("span"));
      if (i >= 0) this.choose(i);
    });
    this.pre.addEventListener("keydown", (event) => {
      const to = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, ArrowUp: this.at - 20, ArrowDown: this.at + 20,
        Home: 0, End: this.spans.length - 1 }[event.key];
      if (to === undefined || !this.spans.length) return;
      event.preventDefault();
      this.choose(Math.min(Math.max(to, 0), this.spans.length - 1));
    });
  }
  show(symbols) {
    this.spans = symbols.map((symbol) => element("span", {}, shown(symbol)));
    this.pre.replaceChildren(...this.spans);
    this.at = -1;
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
  choose(i) {
    if (this.spans[this.at]) this.spans[this.at].classList.remove("chosen");
    this.at = i;
    const span = this.spans[i];
    if (!span) return;
    span.classList.add("chosen");
    span.scrollIntoView({ block: "nearest" });
    this.onChoose(i);
  }
}
