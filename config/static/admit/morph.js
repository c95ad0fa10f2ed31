// Changes a part of the page into its newer version and keeps what is the same in both, so that
// open folds, the focus and the place in the page stay as they are.
"use strict";
const morph = (() => {
  // A person opens a fold, and scripts show the buttons that need them.
  const KEPT = new Set(["open", "hidden"]);
  const kind = (node) => [node.nodeName, node.id, node.className].join(" ");

  const attributes = (now, then) => {
    for (const { name } of [...now.attributes]) {
      if (!KEPT.has(name) && !then.hasAttribute(name)) now.removeAttribute(name);
    }
    for (const { name, value } of then.attributes) {
      if (!KEPT.has(name) && now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
  };

  // Pairs nodes of the same kind in their order (the longest common subsequence), so that as many
  // as possible have the same text.
  const pairs = (before, after) => {
    const [old, young] = [before, after].map((nodes) =>
      nodes.map((node) => ({ node, kind: kind(node), text: node.textContent })));
    const worth = (a, b) => (a.kind !== b.kind ? 0 : a.text === b.text ? 1000 : 1);
    const best = Array.from({ length: old.length + 1 }, () => Array(young.length + 1).fill(0));
    for (let i = old.length - 1; i >= 0; i--) {
      for (let j = young.length - 1; j >= 0; j--) {
        const both = worth(old[i], young[j]);
        best[i][j] = Math.max(best[i + 1][j], best[i][j + 1], both && both + best[i + 1][j + 1]);
      }
    }
    const found = new Map();
    for (let i = 0, j = 0; i < old.length && j < young.length;) {
      const both = worth(old[i], young[j]);
      if (both && best[i][j] === both + best[i + 1][j + 1]) {
        found.set(young[j++].node, old[i++].node);
      } else if (best[i][j] === best[i + 1][j]) i++;
      else j++;
    }
    return found;
  };

  const morph = (now, then) => {
    if (now.nodeType !== Node.ELEMENT_NODE) {
      if (now.data !== then.data) now.data = then.data;
      return;
    }
    attributes(now, then);
    if (now.hasAttribute("aria-live")) return; // scripts write what it says
    const [before, after] = [[...now.childNodes], [...then.childNodes]];
    const kept = pairs(before, after);
    const stays = new Set(kept.values());
    for (const node of before) if (!stays.has(node)) node.remove();
    let at = now.firstChild;
    for (const node of after) {
      const same = kept.get(node);
      if (same) {
        at = same.nextSibling;
        morph(same, node);
      } else {
        now.insertBefore(document.adoptNode(node), at);
      }
    }
  };
  return morph;
})();
