// Puts the browser's time zone first in the list.
"use strict";
{
  const list = document.getElementById("time_zone");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const option = Array.from(list.options).find((each) => each.value === here);
  if (option) {
    const group = document.createElement("optgroup");
    group.label = list.dataset.here;
    group.append(new Option(option.text, here));
    list.options[0].after(group);
  }
}
