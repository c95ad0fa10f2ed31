// Courses and bundles appear while one types; without script the Find button does the same.
"use strict";
{
  const form = document.getElementById("find");
  const field = document.getElementById("q");
  let waiting = 0;
  const look = async () => {
    const query = new URLSearchParams(new FormData(form));
    const answer = await fetch(`?${query}`, { credentials: "same-origin" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const then = fresh.getElementById("choices");
    if (then && fresh.getElementById("q").value === field.value.trim()) {
      document.getElementById("choices").replaceWith(document.adoptNode(then));
    }
  };
  field?.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 200);
  });
  // Whoever types fast has begun before this script was there.
  if (field && field.value !== field.defaultValue) look();
}
