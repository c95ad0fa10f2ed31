// "/" goes to the search and "?" shows the keys, except while somebody types.
"use strict";
{
  const typing = (element) =>
    element.closest("input, textarea, select, [contenteditable]") !== null;

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target) || document.querySelector("dialog[open]")) return;
    const field = document.getElementById("find-all");
    const keys = document.getElementById("find-keys");
    if (event.key === "/" && field) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "?" && keys) {
      event.preventDefault();
      keys.showModal();
    }
  });
}
