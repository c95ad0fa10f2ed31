// Keeps the log up to date: fetches the page again and replaces its table, unless a person is using
// it.
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
        button.getAttribute("aria-pressed") === "true" ||
        Boolean(list.querySelector("details[open], input:checked")) ||
        list.querySelector(".results, .empty")?.contains(document.activeElement)
      );
    };

    const swap = (fresh, selector) => {
      const now = document.querySelector(selector);
      const then = fresh.querySelector(selector);
      if (now && then) now.replaceWith(document.adoptNode(then));
    };

    // The table stays and its rows are replaced. Django's script listens to the table, but knows
    // only the boxes of the first page load, so it is told of the current ones.
    const boxes = document.getElementsByClassName("action-select");
    boxes.forEach = (each) => Array.from(boxes).forEach(each);
    const choosing = () => {
      if (boxes.length) window.Actions(boxes);
    };
    document.addEventListener("DOMContentLoaded", choosing);

    const LIST = "#changelist-form > :is(.actions, .results, .empty)";
    const swapRows = (fresh) => {
      const now = document.querySelector("#result_list tbody");
      const then = fresh.querySelector("#result_list tbody");
      if (now && then) {
        now.replaceChildren(...document.adoptNode(then).children);
        swap(fresh, "#changelist-form .actions");
        return;
      }
      const before = document.querySelectorAll(LIST);
      before[0]?.before(...fresh.querySelectorAll(LIST));
      for (const each of before) each.remove();
      choosing();
    };

    const look = async () => {
      if (busy()) return;
      const fresh = await Fresh.again(location.href);
      if (!fresh || busy()) return;
      swap(fresh, "#unread");
      swap(fresh, ".paginator");
      swapRows(fresh);
    };
    setInterval(look, Number(button.dataset.live) * 1000);
  }
}
