// What a message says was queued: in its place shows by itself what it waits for, then what came of
// it.
"use strict";
for (const part of document.querySelectorAll("[data-follow]")) {
  const message = part.closest("li");

  const look = async () => {
    const page = await Fresh.again(part.dataset.follow);
    const then = page?.getElementById("in-short");
    if (!then || part.contains(document.activeElement)) return;
    if (!then.dataset.running) clearInterval(timer);
    if (then.innerHTML === part.dataset.shown) return; // so that it is not read aloud again
    part.dataset.shown = then.innerHTML;
    part.replaceChildren(document.importNode(then.content, true));
    message.classList.toggle("error", Boolean(then.dataset.failed));
    if (then.dataset.running) return;
    delete part.dataset.follow;
    document.dispatchEvent(new Event("over")); // see progress.js
  };
  setTimeout(look, 1500);
  const timer = setInterval(look, 5000);
}
