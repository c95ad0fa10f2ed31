// Keeps the progress up to date: fetches its part of the page again. At the end it loads the page
// again, or changes it in place while a person uses it. Also does so on a page that shows no
// progress itself when one of its messages reports that something is over.
"use strict";
{
  const part = () => document.getElementById("progress");
  const entered = () =>
    [...document.querySelectorAll("#progress input")].some(
      (field) => field.value !== field.defaultValue,
    );

  // Whether a person fills in or chooses something that a newer page might take away.
  const busy = () =>
    document.activeElement?.closest(
      "input, select, textarea:not([readonly]), #header details[open]",
    ) ||
    document.querySelector("#progress :is(:popover-open, input:checked)") ||
    entered();

  // Whether the page would lose what a person opened, or where they are.
  const used = () =>
    document.querySelector("#content details[open]") ||
    document.activeElement?.closest("#content");

  const update = (now, then) => {
    const fields = [...now.querySelectorAll("details[open] textarea[data-changed]")];
    const before = fields.map((field) => field.value);
    morph(now, then);
    fields.forEach((field, at) => {
      if (field.value === before[at]) return;
      document.getElementById(field.dataset.said).textContent = field.dataset.changed;
    });
    document.dispatchEvent(new Event("swapped"));
  };

  // Messages that say only what has started are not true after its end.
  const forget = () => {
    const list = document.querySelector(".messagelist");
    for (const each of list?.querySelectorAll(":scope > .started") ?? []) each.remove();
    if (list && !list.children.length) list.remove();
  };

  const look = async () => {
    if (busy()) return;
    const page = await Fresh.again(location.href);
    const then = page?.getElementById("progress");
    if (!then || busy()) return;
    const runs = then.dataset.running;
    if (part().dataset.running && !runs) forget();
    // A message that is followed reports by itself when it is over.
    if (runs || document.querySelector("input:checked, [data-follow]")) {
      update(part(), then);
      return;
    }
    stop();
    if (used()) update(document.getElementById("content"), page.getElementById("content"));
    else Fresh.reload(); // what came of it
  };
  let stop = () => {};
  const begin = (after) => {
    stop();
    stop = Fresh.often(look, after);
  };
  document.addEventListener("DOMContentLoaded", () => { // fresh.js may come after this
    if (part().dataset.running) begin();
  });
  document.addEventListener("over", () => begin(0));
}
