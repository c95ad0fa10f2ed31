// Finds courses and bundles while a person types, without leaving the page, so that other input
// stays. Without script the button Find does it, and the page keeps the input too.
"use strict";
{
  const field = document.getElementById("q");
  const form = field?.form;
  const chosen = () => form.querySelector('[name="destination"]:checked')?.value ?? "";

  const find = async () => {
    const word = field.value;
    const query = new URLSearchParams(location.search);
    query.set("q", word);
    query.set("destination", chosen());
    const page = await Fresh.page(`?${query}`);
    const found = page?.getElementById("choices");
    const list = document.getElementById("choices");
    // If the person typed on meanwhile, another request is on its way.
    if (!found || word !== field.value) return;
    const kept = chosen();
    list.replaceChildren(...document.adoptNode(found).childNodes);
    const again = kept && document.getElementById(`d${kept}`);
    if (again) again.checked = true;
  };

  let waiting = 0;
  const soon = (after) => {
    clearTimeout(waiting);
    waiting = setTimeout(find, after);
  };
  field?.addEventListener("input", () => soon(200));
  form?.addEventListener("submit", (event) => {
    if (event.submitter?.name !== "find") return;
    event.preventDefault();
    // Enter in any field presses the first button, which is Find. In another field it means the
    // last one.
    const entered = document.activeElement;
    if (entered?.form === form && entered.matches("input") && entered !== field) {
      // A form cannot be submitted again while a submit event is handled.
      setTimeout(() => form.requestSubmit(form.querySelector(".foot [type=submit]")));
    } else {
      soon(0);
    }
  });
}
