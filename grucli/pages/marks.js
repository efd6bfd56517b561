/* The parts of the text in the box that the model wrote: marked on a sheet behind the box, since a
   box has no colours of its own. */

const marks = (() => {
  let text = "";
  let parts = []; // [from, to) of what the model wrote, ascending

  function show(now, its) {
    [text, parts] = [now, its];
    const pieces = [];
    let at = 0;
    for (const [from, to] of parts) {
      pieces.push(text.slice(at, from), element("mark", {}, text.slice(from, to)));
      at = to;
    }
    // a last line end shows a line in the box only
    $("marks").replaceChildren(...pieces, text.slice(at) + (text.endsWith("\n") ? "\u200b" : ""));
    follow();
  }
  /** The model has written from a place to the end. */
  function add(from, now) {
    const before = parts.filter(([start]) => start < from).map(([start, end]) => [start, Math.min(end, from)]);
    const last = before[before.length - 1];
    const joined = last && last[1] === from;
    show(now, [...(joined ? before.slice(0, -1) : before), [joined ? last[0] : from, now.length]]);
  }
  /** A person has replaced one passage by another. */
  function edited(now) {
    const shorter = Math.min(text.length, now.length);
    let head = 0;
    while (head < shorter && text[head] === now[head]) head++;
    if (/[\ud800-\udbff]/.test(text[head - 1])) head--; // no half of a character
    let tail = 0;
    while (tail < shorter - head && text[text.length - 1 - tail] === now[now.length - 1 - tail]) tail++;
    if (/[\udc00-\udfff]/.test(text[text.length - tail])) tail--;
    const [end, shift] = [text.length - tail, now.length - text.length];
    const kept = parts.flatMap(([from, to]) => [
      [from, Math.min(to, head)], [Math.max(from, end) + shift, to + shift]]);
    show(now, kept.filter(([from, to]) => from < to));
  }
  const follow = () => { $("marks").scrollTop = $("draft").scrollTop; };
  const prepare = () => $("draft").addEventListener("scroll", follow);
  return { add, edited, prepare, show, get parts() { return parts; } };
})();
