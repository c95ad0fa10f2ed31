// For scripts that fetch a page of ours while a person uses this one. Nothing may move or disappear
// while a pointer is down, or the click that follows would be lost.
"use strict";
const Fresh = (() => {
  let pressed = false;
  const waiting = [];

  addEventListener("pointerdown", (event) => {
    // A select that opens on the press reports no release.
    if (event.isPrimary) pressed = !event.target.closest("select");
  }, true);
  const release = (event) => {
    if (!pressed || event.buttons) return;
    setTimeout(() => { // after the click
      pressed = false;
      for (const go of waiting.splice(0)) go();
    });
  };
  // A release outside the window is not reported, but the events after it are.
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
      return null; // aborted, or the server is away for a moment
    }
  };

  // Whether the page is visible, and nothing is pressed or selected on it.
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
    const before = new DOMParser().parseFromString(said, "text/html").querySelectorAll("body > li");
    list.prepend(...[...before].map((each) => document.adoptNode(each)));
  };
  sayAgain();

  // Calls `look` soon, then every 5 seconds, until what is returned is called. What is over within
  // seconds shows within seconds, and a long wait costs few requests.
  const often = (look, after = 1000) => {
    const soon = [after, 1000, 2000];
    let timer = 0;
    let looking = false;
    const next = () => {
      timer = setTimeout(go, soon.shift() ?? 5000);
    };
    const go = async () => {
      next();
      if (looking) return; // the answer to the last one is not here yet
      looking = true;
      await look();
      looking = false;
    };
    next();
    return () => clearTimeout(timer);
  };

  return {
    often,
    reload,
    // For something a person did: the page of this address, null if there is none.
    page: async (address, options) => {
      const found = await read(address, options);
      await released();
      return found;
    },
    // For automatic updates, which keep no session alive: also null while a person uses this page.
    again: async (address) => {
      if (!idle()) return null;
      const found = await read(address, { headers: { "Admit-Reload": "1" } });
      return idle() ? found : null;
    },
  };
})();
