// Menus close on a choice, on a click outside and on Escape, and no browser remembers which was
// open. A row's menu is the browser's own popover, which does all of that but the first.
"use strict";
{
  const opened = () => document.querySelectorAll(":is(.chip, #header details)[open]");

  document.addEventListener("click", (event) => {
    // An older browser always shows a popover and has no hidePopover.
    if (event.target.closest("[popover] a")) event.target.closest("[popover]").hidePopover?.();
    for (const menu of opened()) {
      // Going back may show the page as it was left, so close its menus.
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
