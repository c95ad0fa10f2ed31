/* Adds an empty row for a mapping without asking the server. */
"use strict";

document.querySelectorAll("button[data-add-row]").forEach(function (button) {
  const section = button.closest("section");
  const rows = section.querySelector("[data-rows]");
  const pattern = section.querySelector("template");
  const total = document.getElementById("id_" + rows.dataset.rows + "-TOTAL_FORMS");
  button.addEventListener("click", function (event) {
    event.preventDefault();
    const number = Number(total.value);
    const holder = document.createElement("tbody");
    holder.innerHTML = pattern.innerHTML
      .replaceAll("__prefix__", String(number))
      .replaceAll("(new)", String(number + 1));
    rows.append(...holder.children);
    total.value = String(number + 1);
    rows.lastElementChild.querySelector("input").focus();
  });
});
