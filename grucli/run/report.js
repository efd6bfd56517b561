"use strict";

/* The numbers of the curves, at the pointer or by the arrow keys. Without this script each mark has
   them as its title. */

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const pairs = (text) => text.split(" ").map((pair) => pair.split(",").map(Number));

  /** The points of a curve: where they are drawn, and their numbers. */
  function points(line) {
    const values = pairs(line.dataset.values);
    return pairs(line.getAttribute("points")).map(([x, y], i) => ({ x, y, values: values[i] }));
  }
  const nearest = (all, x) => all.reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
  const number = (n) => n.toLocaleString("en-US");
  const place = (unit, n) => (unit.startsWith("step") ? `step ${number(n)}` : `${number(n)} ${n === 1 ? unit.replace(/s$/, "") : unit}`);

  function follow(chart) {
    const curves = [...chart.querySelectorAll("polyline")].map((line) => ({ name: line.dataset.name, all: points(line) }));
    const places = curves.flatMap(({ all }) => all.map(({ x }) => x)).sort((a, b) => a - b);
    chart.querySelectorAll("title").forEach((title) => title.remove());
    const rule = document.createElementNS(SVG, "path");
    rule.setAttribute("stroke", "#888");
    const numbers = document.createElement("figcaption");
    numbers.className = "numbers";
    numbers.setAttribute("role", "status");
    const plot = chart.querySelector("svg");
    plot.prepend(rule);
    chart.after(numbers);
    chart.tabIndex = 0;
    let at = places[0];

    /** A curve's number where it has one; the nearest with its own place. */
    function said({ name, values: [x, y] }, here) {
      return `${name} ${y}`.trim() + (x === here ? "" : ` (at ${number(x)})`);
    }
    function show(x) {
      const found = curves.map(({ name, all }) => ({ name, ...nearest(all, x) }));
      const point = nearest(found, x);
      const here = point.values[0];
      at = point.x;
      rule.setAttribute("d", `M${at} 0v${chart.viewBox.baseVal.height}`);
      numbers.textContent = [place(chart.dataset.x, here), ...found.map((one) => said(one, here))].join(" · ");
    }
    function hide() {
      rule.removeAttribute("d");
      numbers.textContent = "";
    }
    chart.addEventListener("pointermove", ({ clientX, clientY }) =>
      show(new DOMPoint(clientX, clientY).matrixTransform(chart.getScreenCTM().inverse()).x));
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("focus", () => show(at));
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const to = { ArrowRight: places.find((x) => x > at), ArrowLeft: places.findLast((x) => x < at),
        Home: places[0], End: places[places.length - 1] }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }
  document.querySelectorAll("figure > svg").forEach(follow);
})();
