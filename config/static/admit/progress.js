// Keeps the progress up to date: fetches its part of the page again, and reloads the page at the
// end. Also reloads a page that shows no progress itself when one of its messages reports that
// something is over.
"use strict";
{
  const entered = () =>
    [...document.querySelectorAll("#progress input")].some(
      (field) => field.value !== field.defaultValue,
    );

  const busy = () =>
    document.activeElement?.closest("#progress, input, select, textarea, details[open]") ||
    document.querySelector("#progress :is(details[open], :popover-open, input:checked)") ||
    entered();

  const look = async () => {
    if (busy()) return;
    const page = await Fresh.again(location.href);
    const then = page?.getElementById("progress");
    if (!then || busy()) return;
    if (then.dataset.running || document.querySelector("input:checked")) {
      document.getElementById("progress").replaceWith(document.adoptNode(then));
      document.dispatchEvent(new Event("swapped"));
    } else {
      clearInterval(timer);
      Fresh.reload(); // what came of it
    }
  };
  let timer = 0;
  const begin = (after) => {
    setTimeout(look, after);
    clearInterval(timer);
    timer = setInterval(look, 5000);
  };
  if (document.getElementById("progress").dataset.running) begin(1500);
  document.addEventListener("over", () => begin(0));
}
