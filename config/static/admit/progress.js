// How far something is, by itself: its part of the page is fetched again, and at the end all of it.
"use strict";
{
  const entered = () =>
    [...document.querySelectorAll("#progress input")].some(
      (field) => field.value !== field.defaultValue,
    );

  const busy = () =>
    document.hidden ||
    document.activeElement?.closest("#progress, input, select, textarea, details[open]") ||
    document.querySelector("#progress :is(details[open], input:checked)") ||
    entered() ||
    !getSelection().isCollapsed;

  const look = async () => {
    if (busy()) return;
    const now = document.getElementById("progress");
    try {
      const answer = await fetch(location.href, {
        credentials: "same-origin",
        headers: { "Admit-Reload": "1" }, // by itself: it keeps no session alive
      });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const then = page.getElementById("progress");
      if (!then || busy()) return;
      if (then.dataset.running || document.querySelector("input:checked")) {
        now.replaceWith(document.adoptNode(then));
        document.dispatchEvent(new Event("swapped"));
      } else {
        clearInterval(timer);
        location.reload(); // what came of it
      }
    } catch {
      // The next look may find the server again.
    }
  };
  setTimeout(look, 1500);
  const timer = setInterval(look, 5000);
}
