// Each choice extends the sentence and opens the next part: the same page is fetched with the
// choices in its address, and the parts that differ are replaced. Without script the buttons Find
// and Go on do the same.
"use strict";
{
  const form = document.getElementById("rule-form");
  const SENT_ALONE = ["csrfmiddlewaretoken", "go_on", "_save"];
  const chosen = () => {
    const query = new URLSearchParams(new FormData(form));
    for (const name of SENT_ALONE) query.delete(name);
    return query.toString();
  };
  const typing = () => document.activeElement?.matches("input:not([type=checkbox], [type=radio])");

  // In a part of the same kind only its inner parts are replaced, so that fields keep their text.
  const swap = (now, then) => {
    if (now.dataset.kind && now.dataset.kind === then.dataset.kind) {
      for (const inner of now.querySelectorAll("[data-part]")) {
        const fresh = then.querySelector(`#${inner.id}`);
        if (fresh) swap(inner, fresh);
      }
      const part = now.querySelector("details.part");
      if (part && then.querySelector("details.part[open]")) part.open = true;
      return;
    }
    const focused = now.contains(document.activeElement) ? document.activeElement.id : "";
    if (now.innerHTML === then.innerHTML || (focused && typing())) return;
    const list = now.querySelector(".choices");
    const scrolled = list ? list.scrollTop : 0;
    now.replaceWith(document.adoptNode(then));
    const fresh = then.querySelector(".choices");
    if (fresh) fresh.scrollTop = scrolled;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const look = async () => {
    const query = chosen();
    const fresh = await Fresh.page(`?${query}`);
    // If the choices changed meanwhile, another request is on its way.
    if (!fresh || query !== chosen()) return;
    const parts = form.querySelectorAll("[data-part]:not([data-part] [data-part])");
    for (const now of parts) {
      const then = fresh.getElementById(now.id);
      if (then) swap(now, then);
    }
    history.replaceState(null, "", `?${query}`);
  };

  let waiting = 0;
  const soon = (after) => {
    clearTimeout(waiting);
    waiting = setTimeout(look, after);
  };
  form?.addEventListener("change", () => soon(0));
  form?.addEventListener("input", (event) => {
    if (!event.target.matches("[type=checkbox], [type=radio]")) soon(200);
  });
  form?.addEventListener("submit", (event) => {
    if (event.submitter?.name !== "go_on") return;
    event.preventDefault();
    soon(0);
  });
  form?.classList.add("with-script");
  // Choices made before this script ran, or restored when the browser goes back.
  const differs = (each) => each.checked !== undefined && each.checked !== each.defaultChecked;
  if (form && [...form.elements].some(differs)) soon(0);
}
