// The log by itself: the page is fetched again and its table swapped, unless somebody is at it.
"use strict";
{
  const button = document.querySelector("[data-live]");
  const first = new URLSearchParams(location.search).get("p") ?? "1";
  if (button && first === "1") {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => {
      const paused = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(paused));
      button.textContent = paused ? button.dataset.goOn : button.dataset.pause;
    });

    const busy = () => {
      const list = document.getElementById("changelist-form");
      return (
        document.hidden ||
        button.getAttribute("aria-pressed") === "true" ||
        Boolean(list.querySelector("details[open], input:checked")) ||
        list.querySelector(".results, .empty")?.contains(document.activeElement) ||
        !getSelection().isCollapsed
      );
    };

    const swap = (fresh, selector) => {
      const now = document.querySelector(selector);
      const then = fresh.querySelector(selector);
      if (now && then) now.replaceWith(document.adoptNode(then));
    };

    const look = async () => {
      if (busy()) return;
      try {
        const answer = await fetch(location.href, {
          credentials: "same-origin",
          headers: { "Admit-Reload": "1" }, // by itself: it keeps no session alive
        });
        if (!answer.ok || answer.redirected) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (busy()) return;
        swap(fresh, "#unread");
        swap(fresh, ".paginator");
        if (document.querySelector("#result_list") && fresh.querySelector("#result_list")) {
          swap(fresh, "#result_list tbody");
        } else {
          swap(fresh, "#changelist-form > :is(.empty, .results)");
          if (!document.querySelector("#result_list") && fresh.querySelector("#result_list")) {
            document.querySelector("#changelist-form .empty")?.replaceWith(
              document.adoptNode(fresh.querySelector("#changelist-form .results")),
            );
          }
        }
      } catch {
        // The server is away for a moment: the next look tells.
      }
    };
    setInterval(look, Number(button.dataset.live) * 1000);
  }
}
