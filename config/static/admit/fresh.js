// What scripts need that fetch a page of ours while somebody is at it. Nothing may move or go while
// a pointer is down: the click that is about to come would be lost.
"use strict";
const Fresh = (() => {
  let pressed = false;
  const waiting = [];

  addEventListener("pointerdown", (event) => {
    // A list that opens by it keeps the release to itself.
    if (event.isPrimary) pressed = !event.target.closest("select");
  }, true);
  const release = (event) => {
    if (!pressed || event.buttons) return;
    setTimeout(() => { // behind the click
      pressed = false;
      for (const go of waiting.splice(0)) go();
    });
  };
  // A release outside of the window is not told, but what comes after it is.
  for (const kind of ["pointerup", "pointercancel", "pointermove", "keydown"]) {
    addEventListener(kind, release, true);
  }
  const released = () => pressed && new Promise((go) => waiting.push(go));

  const read = async (address, options) => {
    try {
      const answer = await fetch(address, { credentials: "same-origin", ...options });
      if (!answer.ok || answer.redirected) return null;
      return new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return null; // given up, or the server is away for a moment
    }
  };

  // Whether nothing is pressed or marked on this page, and it is seen.
  const idle = () => !pressed && !document.hidden && getSelection().isCollapsed;

  // The server says a message once; so that what is said stays, this keeps it over a reload.
  const reload = () => {
    const said = document.querySelector(".messagelist")?.innerHTML;
    history.replaceState({ ...history.state, said }, "");
    location.reload();
  };
  const sayAgain = () => {
    const { said, ...state } = history.state ?? {};
    if (!said) return;
    history.replaceState(state, "");
    let list = document.querySelector(".messagelist");
    if (!list) {
      list = document.createElement("ul");
      list.className = "messagelist";
      document.getElementById("content")?.before(list);
    }
    const before = new DOMParser().parseFromString(said, "text/html").querySelectorAll("li");
    list.prepend(...[...before].map((each) => document.adoptNode(each)));
  };
  sayAgain();

  return {
    reload,
    // For what a person did: the page of this address, null where there is none.
    page: async (address, options) => {
      const found = await read(address, options);
      await released();
      return found;
    },
    // By itself, so that it keeps no session alive: null also where somebody is at this page.
    again: async (address) => {
      if (!idle()) return null;
      const found = await read(address, { headers: { "Admit-Reload": "1" } });
      return idle() ? found : null;
    },
  };
})();
