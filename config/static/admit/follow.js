// Updates a message that says something was queued: it shows what that waits for, then its results.
"use strict";
for (const part of document.querySelectorAll("[data-follow]")) {
  const message = part.closest("li");

  const look = async () => {
    const page = await Fresh.again(part.dataset.follow);
    const then = page?.getElementById("in-short");
    if (!then || part.contains(document.activeElement)) return;
    if (!then.dataset.running) stop();
    if (then.innerHTML === part.dataset.shown) return; // or screen readers would read it again
    part.dataset.shown = then.innerHTML;
    part.replaceChildren(document.importNode(then.content, true));
    message.classList.toggle("error", Boolean(then.dataset.failed));
    message.classList.toggle("warning", Boolean(then.dataset.waits));
    if (then.dataset.running) return;
    delete part.dataset.follow;
    document.dispatchEvent(new Event("over")); // see progress.js
  };
  const stop = Fresh.often(look);
}
