// What differs between two texts, by words.

const TOKENS = /[\p{L}\p{M}\p{N}_]+\s*|[^\p{L}\p{M}\p{N}_\s]\s*|\s+/gu;
const MOST_CELLS = 1_000_000; // beyond that the texts are shown one after the other

const tokens = (text) => (text.match(TOKENS) ?? []).map((shown) => ({ shown, word: shown.trim() }));

/** Pieces in reading order, each `[kind, text]`: "same" in both, "gone" from the one, "new" in the other. */
export function wordDiff(before, after) {
  const [old, now] = [tokens(before), tokens(after)];
  const same = (i, j) => old[i].word === now[j].word;
  let head = 0;
  while (head < Math.min(old.length, now.length) && same(head, head)) head += 1;
  let tail = 0;
  const left = Math.min(old.length, now.length) - head;
  while (tail < left && same(old.length - 1 - tail, now.length - 1 - tail)) tail += 1;
  const [oldEnd, nowEnd] = [old.length - tail, now.length - tail];
  const pieces = [];
  const add = (kind, some) => some.forEach(({ shown }) => pieces.push([kind, shown]));
  add("same", now.slice(0, head));
  for (const [kind, token] of middle(old.slice(head, oldEnd), now.slice(head, nowEnd))) add(kind, [token]);
  add("same", now.slice(nowEnd));
  return joined(pieces);
}

/** By the longest common subsequence. */
function middle(old, now) {
  const gone = (some) => some.map((token) => ["gone", token]);
  const come = (some) => some.map((token) => ["new", token]);
  const width = now.length + 1;
  if ((old.length + 1) * width > MOST_CELLS) return [...gone(old), ...come(now)];
  const longest = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      const [down, right] = [longest[(i + 1) * width + j], longest[i * width + j + 1]];
      longest[i * width + j] = old[i].word === now[j].word ? longest[(i + 1) * width + j + 1] + 1 : Math.max(down, right);
    }
  }
  const pieces = [];
  let [i, j] = [0, 0];
  while (i < old.length && j < now.length) {
    if (old[i].word === now[j].word) pieces.push(["same", now[j]]), (i += 1), (j += 1);
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) pieces.push(["gone", old[i]]), (i += 1);
    else pieces.push(["new", now[j]]), (j += 1);
  }
  return [...pieces, ...gone(old.slice(i)), ...come(now.slice(j))];
}

function joined(pieces) {
  const runs = [];
  for (const [kind, text] of pieces) {
    if (runs.at(-1)?.[0] === kind) runs.at(-1)[1] += text;
    else runs.push([kind, text]);
  }
  // What is struck out or underlined ends with a word, not with the space behind it.
  return runs.flatMap(([kind, text]) => {
    const space = kind === "same" ? "" : text.slice(text.trimEnd().length);
    return space && text.trim() ? [[kind, text.trimEnd()], ["same", space]] : [[kind, text]];
  });
}
