// "/" goes to the search and "?" shows the keys, "j" and "k" go through the rows of a list and "x"
// ticks one: except while a person types in a field, and for those who turned single keys off.
// Results are shown below the field while typing: arrows choose, Enter opens, Escape closes.
"use strict";
{
  const typing = (element) =>
    element.closest("input, textarea, select, [contenteditable]") !== null;

  // A box to tick takes no text.
  const ticks = (element) => element.matches("input[type=checkbox]");
  const row = () => document.activeElement?.closest("#result_list tbody tr");

  const go = (by) => {
    const rows = [...document.querySelectorAll("#result_list tbody tr")];
    const at = rows.indexOf(row());
    const next = at < 0 ? rows[0] : rows[at + by];
    (next?.querySelector("a[href]") ?? next?.querySelector("input"))?.focus();
  };

  const DOES = {
    "/": () => {
      field.focus();
      field.select();
    },
    "?": () => document.getElementById("find-keys").showModal(),
    j: () => go(1),
    k: () => go(-1),
    x: () => row()?.querySelector("input.action-select")?.click(),
  };
  const field = document.querySelector("#find-all[aria-keyshortcuts]");

  document.addEventListener("keydown", (event) => {
    if (!field || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) && !ticks(event.target)) return;
    if (document.querySelector("dialog[open]") || !Object.hasOwn(DOES, event.key)) return;
    event.preventDefault();
    DOES[event.key]();
  });
}
{
  const PAUSE = 150; // milliseconds after the last key
  const SHORTEST = 2;
  const field = document.getElementById("find-all");
  const list = document.getElementById("find-list");
  const said = document.getElementById("find-said");
  let timer, asking, asked = "";

  const options = () => [...list.querySelectorAll('[role="option"]')];
  const active = () => list.querySelector('[aria-selected="true"]');

  const choose = (option) => {
    active()?.setAttribute("aria-selected", "false");
    if (option) {
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({block: "nearest"});
      field.setAttribute("aria-activedescendant", option.id);
    } else {
      field.removeAttribute("aria-activedescendant");
    }
  };

  const show = (open) => {
    list.hidden = !open;
    field.setAttribute("aria-expanded", String(open));
    if (open) field.setAttribute("aria-controls", "find-hits");
    else field.removeAttribute("aria-controls");
    choose(null);
  };

  const close = () => {
    clearTimeout(timer);
    asking?.abort();
    asked = "";
    said.textContent = "";
    show(false);
  };

  const ask = async (word) => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const address = `${field.dataset.hits}?q=${encodeURIComponent(word)}`;
    const page = await Fresh.page(address, { signal });
    if (signal.aborted) return;
    const found = page?.getElementById("find-hits");
    if (!found || document.activeElement !== field) return close();
    list.replaceChildren(document.importNode(found, true));
    asked = word;
    show(true);
    said.textContent = found.dataset.said;
  };

  const typed = () => {
    clearTimeout(timer);
    const word = field.value.trim();
    if (word.length < SHORTEST) close();
    else if (word !== asked) timer = setTimeout(ask, PAUSE, word);
  };

  const step = (by) => {
    const all = options();
    // The field itself comes before the first result and after the last.
    const places = all.length + 1;
    const at = all.indexOf(active());
    const next = (at + 1 + by + places) % places;
    choose(next ? all[next - 1] : null);
  };

  if (field && list) {
    // Browsers allow the role combobox on a plain text field, but not on a search field.
    field.type = "text";
    field.inputMode = "search";
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-expanded", "false");
    field.addEventListener("input", typed);
    field.addEventListener("focus", typed);
    field.addEventListener("blur", close);
    // A click on the list keeps the focus in the field, and so the list open.
    list.addEventListener("mousedown", (event) => event.preventDefault());
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape" && !list.hidden) {
        event.preventDefault();
        close();
      } else if (list.hidden) {
        if (event.key === "ArrowDown") typed();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        step(event.key === "ArrowDown" ? 1 : -1);
      } else if (event.key === "Enter" && active()) {
        event.preventDefault();
        active().click();
      }
    });
  }
}
