// Adds another empty field for a course or bundle as soon as something is typed into the last one
// of a row. Not when the field is left: that happens when a button below is pressed, and the button
// would move away. Asks before the person leaves the page with unsaved input.
"use strict";
{
  const form = document.querySelector("form[data-unsaved]");
  let unsaved = form?.dataset.unsaved === "yes";
  form?.addEventListener("change", () => { unsaved = true; });
  form?.addEventListener("submit", () => { unsaved = false; });
  addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });

  // Without script the server returns the page with these ticked.
  document.querySelector("[name=tick]")?.addEventListener("click", (event) => {
    event.preventDefault();
    for (const box of form.querySelectorAll('.gives [type="checkbox"]')) box.checked = true;
    unsaved = true;
  });

  document.querySelector(".coverage")?.addEventListener("input", (event) => {
    const item = event.target.matches("input[list]") && event.target.closest("li");
    if (!item || !event.target.value.trim() || item.nextElementSibling) return;
    const next = item.cloneNode(true);
    const field = next.querySelector("input");
    field.value = "";
    field.removeAttribute("value");
    for (const said of ["aria-invalid", "aria-describedby"]) field.removeAttribute(said);
    item.after(next);
  });
}
