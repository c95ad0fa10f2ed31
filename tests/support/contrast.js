// What of the page that is open axe finds too pale, the start of each element. See contrast.py.
async (rules) => {
  const ids = new Map();
  const chains = new Map([[null, 0]]);
  const numberOf = (facts) => ids.get(facts) ?? ids.set(facts, ids.size + 1).get(facts);

  // What lies behind an element and dims it, as a number that all have for whom it is the same.
  const behind = (element) => {
    if (chains.has(element)) return chains.get(element);
    const style = getComputedStyle(element);
    const parent = behind(element.parentElement);
    const facts = [
      style.backgroundColor === "rgba(0, 0, 0, 0)" ? "" : style.backgroundColor,
      ...[style.backgroundImage, style.filter, style.clipPath].filter((each) => each !== "none"),
      style.opacity === "1" ? "" : style.opacity,
      style.mixBlendMode === "normal" ? "" : style.mixBlendMode,
      // What is moved out of its parent may have anything behind it.
      /static|relative/.test(style.position) && style.transform === "none" ? "" : chains.size,
    ].join("");
    chains.set(element, facts ? numberOf(`${parent} ${facts}`) : parent);
    return chains.get(element);
  };

  const textOf = (element) =>
    [...element.childNodes]
      .filter((each) => each.nodeType === Node.TEXT_NODE)
      .map((each) => each.data.trim())
      .join("") + (element.value ?? "") + (element.placeholder ?? "");
  const alike = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const length = textOf(element).length;
    if (!length || !element.checkVisibility({ visibilityProperty: true })) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    const look = [behind(element), color, fontSize, fontWeight, textShadow].join();
    if (!alike.has(look)) alike.set(look, []);
    alike.get(look).push({ element, length });
  }

  const ask = async (elements) => {
    if (!elements.length) return { violations: [], passes: [] };
    const found = await axe.run({ include: elements }, { ...rules, elementRef: true });
    const nodes = (results) => results.flatMap((each) => each.nodes);
    return { violations: nodes(found.violations), passes: nodes(found.passes) };
  };
  // axe decides nothing about a single sign.
  const groups = [...alike.values()].map((group) =>
    group.sort((one, other) => other.length - one.length).map((each) => each.element),
  );
  const first = await ask(groups.map((group) => group[0]));
  const decided = new Set([...first.violations, ...first.passes].map((each) => each.element));
  const left = groups.filter((group) => !decided.has(group[0])).flatMap((group) => group.slice(1));
  const rest = await ask(left);
  return [...first.violations, ...rest.violations].map((each) => each.html.slice(0, 200));
}
