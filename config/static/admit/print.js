// A button that prints the page. Without script people use the browser's menu.
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
