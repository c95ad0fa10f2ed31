// A button that prints the page; without script the browser's own menu does.
"use strict";
{
  const show = () => {
    for (const button of document.querySelectorAll("[data-print]")) button.hidden = false;
  };
  show();
  document.addEventListener("swapped", show);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
  });
}
