// What a message says was queued: in its place shows by itself what it waits for, then what came of
// it.
"use strict";
for (const part of document.querySelectorAll("[data-follow]")) {
  const message = part.closest("li");
  const busy = () =>
    document.hidden || part.contains(document.activeElement) || !getSelection().isCollapsed;

  const look = async () => {
    if (busy()) return;
    try {
      const answer = await fetch(part.dataset.follow, {
        credentials: "same-origin",
        headers: { "Admit-Reload": "1" }, // by itself: it keeps no session alive
      });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const then = page.getElementById("in-short");
      if (!then || busy()) return;
      if (!then.dataset.running) clearInterval(timer);
      if (then.innerHTML === part.dataset.shown) return; // so that it is not read aloud again
      part.dataset.shown = then.innerHTML;
      part.replaceChildren(document.importNode(then.content, true));
      message.classList.toggle("error", Boolean(then.dataset.failed));
    } catch {
      // The next look may find the server again.
    }
  };
  setTimeout(look, 1500);
  const timer = setInterval(look, 5000);
}
