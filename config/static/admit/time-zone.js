// The zone of the browser is the first in the list of time zones.
"use strict";
{
  const list = document.getElementById("time_zone");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (Array.from(list.options).some((option) => option.value === here)) {
    const group = document.createElement("optgroup");
    group.label = list.dataset.here;
    group.append(new Option(here.replaceAll("_", " "), here));
    list.options[0].after(group);
  }
}
