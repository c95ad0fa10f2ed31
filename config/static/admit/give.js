// Courses and bundles are found as one types, without leaving the page: what else was entered stays.
// Without script the button Find does it, and the page keeps what was entered too.
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
    // What was typed meanwhile is asked for by itself.
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
    // Enter in a field presses the first button, which is Find: elsewhere it means the last one.
    const entered = document.activeElement;
    if (entered?.form === form && entered.matches("input") && entered !== field) {
      // A form that is just being submitted does not take another one.
      setTimeout(() => form.requestSubmit(form.querySelector(".foot [type=submit]")));
    } else {
      soon(0);
    }
  });
}
