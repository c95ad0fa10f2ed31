// Returns a sentence for each thing on the open page that does not fit its window. See fitting.py.
() => {
  // Text between spaces, dashes and slashes, where every browser may break a line.
  const WORD = /[^\s\u00ad\u200b\/?…–—-]+/g;
  // Text without spaces, such as a key or a sent body, may break anywhere.
  const MARKED = "code, pre, .break-anywhere";
  const FIELD = /^(INPUT|SELECT|TEXTAREA)$/;
  const wide = document.documentElement.clientWidth;
  const range = document.createRange();
  const pen = document.createElement("canvas").getContext("2d");
  const found = new Set();
  // Where each element was when the page opened, and the elements that contain a fold.
  const places = new Map();
  const holders = new Set();
  let opened = false;

  const tell = (what, element) => {
    const start = `<${element.tagName.toLowerCase()} class="${element.className}">`;
    found.add(`${what}: ${start} "${element.textContent.trim().replace(/\s+/g, " ").slice(0, 60)}"`);
  };
  const lines = (boxes) => new Set([...boxes].filter((b) => b.width).map((b) => Math.round(b.bottom)));

  const measureText = (text, box) => {
    range.selectNodeContents(text);
    const boxes = range.getClientRects();
    const holder = text.parentElement;
    if ([...boxes].some((each) => each.right > box.right + 1)) tell("leaves its box", holder);
    if (lines(boxes).size < 2 || holder.closest(MARKED)) return;
    for (const word of text.data.matchAll(WORD)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (lines(range.getClientRects()).size > 1) tell(`breaks "${word[0].slice(0, 80)}"`, holder);
    }
  };

  const measureBox = (element, style) => {
    const sideways = element.scrollWidth > element.clientWidth + 1;
    const down = element.scrollHeight > element.clientHeight + 1;
    if (sideways && /auto|scroll/.test(style.overflowX)) tell("scrolls sideways", element);
    if (sideways && /hidden|clip/.test(style.overflowX)) tell("is cut off", element);
    if (down && /hidden|clip/.test(style.overflowY)) tell("is cut off below", element);
  };

  // The placeholder of an empty field, or the column name of a card's cell.
  const measureHint = (element, style) => {
    const pads = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    pen.font = style.font;
    if (!element.value && pen.measureText(element.placeholder).width > element.clientWidth - pads) {
      tell(`cuts off its hint "${element.placeholder}"`, element);
    }
  };
  const measureLabel = (element) => {
    const style = getComputedStyle(element, "::before");
    pen.font = style.font;
    for (const word of element.dataset.label.match(WORD) ?? []) {
      if (pen.measureText(word).width > parseFloat(style.width)) tell(`breaks "${word}"`, element);
    }
  };

  const walk = (element, box, out) => {
    const style = getComputedStyle(element);
    if (style.display === "none" || element.matches("script, style, template, option")) return;
    // Only for screen readers.
    if (style.clipPath === "inset(50%)" || style.clip === "rect(0px, 0px, 0px, 0px)") return;
    const own = element.getBoundingClientRect();
    // Opening folds changes nothing in an element that contains no fold and did not move or resize.
    const before = places.get(element);
    const settled = before && before.left === own.left && before.width === own.width;
    if (opened && settled && !holders.has(element)) return;
    places.set(element, own);
    const field = FIELD.test(element.tagName);
    if (own.width && own.height && style.visibility !== "hidden") {
      const leaves = own.right > wide + 0.5 || own.left < -0.5;
      // Report it once, and not again for each part of it.
      if (leaves && !out) tell("is out of the window", element);
      out ||= leaves;
      if (!field && style.display !== "inline") measureBox(element, style);
    }
    if (!["inline", "contents"].includes(style.display)) box = own;
    const texts = [...element.attributes].map((each) => each.value).concat(element.value ?? []);
    if (texts.some((each) => String(each).includes("<wbr>"))) tell("shows a tag", element);
    if (element.placeholder) measureHint(element, style);
    if (element.dataset.label && style.display !== "table-cell") measureLabel(element);
    if (field || element.tagName === "svg") return;
    const shut = element.tagName === "DETAILS" && !element.open;
    for (const child of element.childNodes) {
      if (child.nodeType === Node.ELEMENT_NODE && (!shut || child.tagName === "SUMMARY")) {
        walk(child, box, out);
      } else if (child.nodeType === Node.TEXT_NODE && !shut && style.visibility !== "hidden") {
        if (child.data.trim()) measureText(child, box);
      }
    }
  };

  const measure = () => {
    found.clear();
    if (document.documentElement.scrollWidth > wide) found.add("is wider than the window");
    walk(document.body, document.documentElement.getBoundingClientRect(), false);
    return [...found];
  };

  const asItOpens = measure();
  if (!document.querySelector("main :is(details, [popover])")) return asItOpens;
  // The folds of the page and the menus around it. Each would close the others of its name.
  const folds = [...document.querySelectorAll("details")].map((fold) => [fold, fold.name, fold.open]);
  for (const [fold] of folds) {
    for (let each = fold; each; each = each.parentElement) holders.add(each);
    fold.removeAttribute("name");
    fold.open = true;
  }
  // Each menu would close the one before it.
  const menus = [...document.querySelectorAll("[popover]")];
  for (const menu of menus) {
    for (let each = menu; each; each = each.parentElement) holders.add(each);
    menu.popover = "manual";
    menu.showPopover();
  }
  opened = true;
  const whenOpened = measure().map((fault) => `${fault}, opened`);
  for (const [fold, name, open] of folds) {
    fold.open = open;
    if (name) fold.name = name;
  }
  for (const menu of menus) {
    menu.hidePopover();
    menu.popover = "auto";
  }
  return [...asItOpens, ...whenOpened];
}
