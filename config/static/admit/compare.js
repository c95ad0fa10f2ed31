// How far a comparison is, by itself: its part of the page is fetched again until it is done.
"use strict";
{
  const look = async () => {
    const now = document.getElementById("comparison");
    if (document.hidden || now.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const then = page.getElementById("comparison");
      if (!then) return;
      now.replaceWith(document.adoptNode(then));
      if (!then.dataset.running) clearInterval(timer);
    } catch {
      // The next look may find the server again.
    }
  };
  const timer = setInterval(look, 5000);
}
