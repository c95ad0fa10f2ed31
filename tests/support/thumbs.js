// Returns a sentence for each target on the open page that a thumb would miss. See thumbs.py.
() => {
  const SIDE = 44, ALONE = 24;
  const pressed = "a[href], button, summary, select, textarea, input:not([type=hidden])";
  const found = new Set();

  const hidden = (element) => {
    const box = element.getBoundingClientRect();
    const seen = element.checkVisibility({ visibilityProperty: true }) && box.width && box.height;
    if (!seen || box.right <= 0 || box.bottom <= 0) return true;
    // Only for screen readers, or inside such an element.
    for (let each = element; each; each = each.parentElement) {
      if (getComputedStyle(each).clipPath === "inset(50%)") return true;
    }
    return false;
  };
  // A link within a text is as high as its line, which WCAG 2.5.5 allows.
  const inText = (element) => getComputedStyle(element).display === "inline";
  const fits = (element, side) => {
    const box = element.getBoundingClientRect();
    return box.width >= side - 0.5 && box.height >= side - 0.5;
  };
  const ticked = (box) => {
    const words = [...box.labels].filter((each) => !hidden(each));
    return words.length ? words.some((each) => fits(each, SIDE)) : fits(box, ALONE);
  };

  const look = () => {
    for (const each of document.querySelectorAll(pressed)) {
      if (hidden(each) || (each.tagName === "A" && inText(each))) continue;
      const box = each.matches("input[type=checkbox], input[type=radio]");
      if (box ? ticked(each) : fits(each, SIDE)) continue;
      const { width, height } = each.getBoundingClientRect();
      const start = each.outerHTML.replace(/\s+/g, " ").slice(0, 120);
      found.add(`${Math.round(width)} × ${Math.round(height)} px: ${start}`);
    }
  };

  look();
  const folds = [...document.querySelectorAll("details")].map((fold) => [fold, fold.name, fold.open]);
  for (const [fold] of folds) {
    fold.removeAttribute("name");
    fold.open = true;
  }
  const menus = [...document.querySelectorAll("[popover]")];
  for (const menu of menus) {
    menu.popover = "manual";
    menu.showPopover();
  }
  look();
  for (const menu of menus) {
    menu.hidePopover();
    menu.popover = "auto";
  }
  for (const [fold, name, open] of folds) {
    fold.open = open;
    if (name) fold.name = name;
  }
  return [...found];
}
