// The service counts in code points, JavaScript in UTF-16 units: an emoji is one there and two here.

/** The UTF-16 index of the code point at `points`, counted from the known pair `from`. */
export function unitIndex(text, points, from = { points: 0, units: 0 }) {
  let { units } = from;
  for (let left = points - from.points; left > 0 && units < text.length; left -= 1) {
    units += text.codePointAt(units) > 0xffff ? 2 : 1;
  }
  return units;
}

/** UTF-16 `[start, end)` of a span given in code points. */
export function unitSpan(text, start, end) {
  const first = unitIndex(text, start);
  return [first, unitIndex(text, end, { points: start, units: first })];
}
