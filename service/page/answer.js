// The answer's text as it grows: only the block that changed is drawn again.

import { el } from "./dom.js";
import { blocks, renderBlock } from "./markdown.js";

export class AnswerText {
  /** `cite(label)` gives the button for a citation, or null when there is no such source. */
  constructor(cite) {
    this.root = el("div", { class: "answer" });
    this.text = "";
    this._cite = cite;
    this._drawn = [];
    this._frame = 0;
  }

  append(delta) {
    this.text += delta;
    this._frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Start over with other text, or with sources that were not known before. */
  reset(text = "") {
    this.text = text;
    this._drawn = [];
    this.root.replaceChildren();
    if (text) this.draw();
  }

  /** Draw now what was appended. */
  draw() {
    cancelAnimationFrame(this._frame);
    this._frame = 0;
    const wanted = blocks(this.text);
    let same = 0;
    while (same < this._drawn.length && this._drawn[same].block === wanted[same]) same += 1;
    const stale = this._drawn.splice(same);
    const focused = stale.flatMap(({ nodes }) => nodes).find((node) => node.contains(document.activeElement));
    const order = focused ? [...this.root.querySelectorAll("button")].indexOf(document.activeElement) : -1;
    for (const { nodes } of stale) nodes.forEach((node) => node.remove());
    for (const block of wanted.slice(same)) {
      const nodes = renderBlock(block, this._cite);
      this.root.append(...nodes);
      this._drawn.push({ block, nodes });
    }
    if (order >= 0) this.root.querySelectorAll("button")[order]?.focus();
  }
}
