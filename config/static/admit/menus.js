// Menus close by a choice, by a click outside and by Escape, and nobody remembers which was open.
// Those of a row are the browser's own, which does all but the first of it.
"use strict";
{
  const opened = () => document.querySelectorAll(":is(.chip, #header details)[open]");

  document.addEventListener("click", (event) => {
    // An older browser shows it all the time, and has no way to hide it.
    if (event.target.closest("[popover] a")) event.target.closest("[popover]").hidePopover?.();
    for (const menu of opened()) {
      // A page that is gone back to may be shown as it was left.
      const chosen = event.target.closest(".sheet a");
      if (chosen || !menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of opened()) {
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector("summary").focus();
    }
  });
}
