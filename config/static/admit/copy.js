/* Copy buttons: each copies the field that data-copy names, and confirms it in the element that
   data-said names. */
"use strict";

(function () {
  const words = document.currentScript.dataset;

  function copied(field) {
    if (navigator.clipboard && window.isSecureContext) {
      return navigator.clipboard.writeText(field.value).then(
        function () { return true; },
        function () { return document.execCommand("copy"); }
      );
    }
    return Promise.resolve(document.execCommand("copy"));
  }

  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    if (document.getElementById(button.dataset.copy)) {
      button.hidden = false;
    }
  });

  // Listens on the document, because a part of the page with its buttons may be replaced.
  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-copy]");
    const field = button && document.getElementById(button.dataset.copy);
    if (!field) {
      return;
    }
    const place = document.getElementById(button.dataset.said);
    field.focus();
    field.select();
    copied(field).then(function (done) {
      if (place) {
        place.textContent = done ? words.copied : words.press;
      }
    });
  });
})();
