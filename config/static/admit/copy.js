/* Copy buttons: each copies the field that data-copy names, and says so where data-said names. */
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
    const field = document.getElementById(button.dataset.copy);
    const place = document.getElementById(button.dataset.said);
    if (!field) {
      return;
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      field.focus();
      field.select();
      copied(field).then(function (done) {
        if (place) {
          place.textContent = done ? words.copied : words.press;
        }
      });
    });
  });
})();
