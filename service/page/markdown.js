// A small, safe Markdown: text becomes text nodes in a few known elements. Raw HTML and images stay as typed.

import { el } from "./dom.js";

const FENCE = /^ {0,3}(```|~~~)/;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;
const INLINE =
  /(?<code>`[^`\n]+`)|(?<bold>\*\*(?=\S)[^*\n]*?\S\*\*)|(?<em>(?<![\w*])\*(?=\S)[^*\n]*?\S\*(?![\w*]))|(?<cite>\[\d{1,3}(?:\s*,\s*\d{1,3})*\])(?!\()|(?<!!)\[(?<label>[^\]\n]+)\]\((?<href>https?:\/\/[^\s)]+)\)|(?<bare>https?:\/\/[^\s<>()"'`\]]*[^\s<>()"'`\].,;:!?])/g;

/** Cut Markdown into blocks; all but the last stay as they are when text is added. */
export function blocks(text) {
  const found = [];
  let current = [];
  let fence = null;
  const flush = () => {
    if (current.length) found.push(current.join("\n"));
    current = [];
  };
  for (const line of text.split("\n")) {
    const mark = FENCE.exec(line)?.[1];
    if (fence) {
      current.push(line);
      if (mark === fence) (fence = null), flush();
    } else if (mark) {
      flush();
      fence = mark;
      current.push(line);
    } else if (!line.trim()) {
      flush();
    } else {
      if (HEADING.test(line) || (current.length === 1 && HEADING.test(current[0]))) flush();
      current.push(line);
    }
  }
  flush();
  return found;
}

function link(href, text) {
  let host;
  try {
    ({ host } = new URL(href));
  } catch {
    return [text];
  }
  const anchor = el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
  // What a link says must not hide where it goes.
  return text === href ? [anchor] : [anchor, el("span", { class: "soft" }, ` (${host})`)];
}

/** The nodes of one line of text. `cite(label)` gives the node for a citation's label, or null. */
export function inline(text, cite) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    const made = inlineNode(match, cite);
    if (!made) continue;
    nodes.push(text.slice(last, match.index), ...made);
    last = match.index + match[0].length;
  }
  nodes.push(text.slice(last));
  return nodes.filter((node) => node !== "");
}

function inlineNode({ 0: whole, groups }, cite) {
  if (groups.code) return [el("code", {}, whole.slice(1, -1))];
  if (groups.bold) return [el("strong", {}, inline(whole.slice(2, -2), cite))];
  if (groups.em) return [el("em", {}, inline(whole.slice(1, -1), cite))];
  if (groups.href) return link(groups.href, groups.label);
  if (groups.bare) return link(whole, whole);
  const marks = whole.slice(1, -1).split(",").map((label) => cite(Number(label)));
  return marks.every(Boolean) ? marks : null;
}

function list(lines, cite) {
  const open = [{ indent: -1 }];
  const tops = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (!item) {
      open.at(-1).item.append(" ", ...inline(line.trim(), cite));
      continue;
    }
    const [, space, number, text] = item;
    while (open.length > 1 && open.at(-1).indent > space.length) open.pop();
    if (open.at(-1).indent < space.length) {
      const node = el(number ? "ol" : "ul", number && number !== "1" ? { start: number } : {});
      if (open.length === 1) tops.push(node);
      else open.at(-1).item.append(node);
      open.push({ indent: space.length, node });
    }
    open.at(-1).item = el("li", {}, inline(text, cite));
    open.at(-1).node.append(open.at(-1).item);
  }
  return tops;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function table([head, , ...rows], cite) {
  const row = (line, tag) => el("tr", {}, cells(line).map((cell) => el(tag, {}, inline(cell, cite))));
  return el(
    "div",
    { class: "table" },
    el("table", {}, el("thead", {}, row(head, "th")), el("tbody", {}, rows.map((line) => row(line, "td")))),
  );
}

/** The elements of one block. */
export function renderBlock(block, cite) {
  const lines = block.split("\n");
  const fence = FENCE.exec(lines[0])?.[1];
  if (fence) {
    const closed = lines.length > 1 && FENCE.exec(lines.at(-1))?.[1] === fence;
    return [el("pre", { tabindex: "0" }, el("code", {}, lines.slice(1, closed ? -1 : undefined).join("\n")))];
  }
  const heading = lines.length === 1 && HEADING.exec(block);
  if (heading) return [el("h3", {}, inline(heading[1], cite))];
  if (lines.length > 1 && lines[0].includes("|") && TABLE_RULE.test(lines[1])) return [table(lines, cite)];
  const first = lines.findIndex((line) => ITEM.test(line));
  const said = first < 0 ? lines : lines.slice(0, first);
  const made = [];
  if (said.length) made.push(el("p", {}, said.flatMap((line, i) => [...(i ? [el("br")] : []), ...inline(line, cite)])));
  if (first >= 0) made.push(...list(lines.slice(first), cite));
  return made;
}
