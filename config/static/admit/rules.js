// The type-ahead of courses and bundles offers those of the chosen integration and action.
"use strict";
{
  const $ = django.jQuery;
  $.ajaxPrefilter((options, original) => {
    if (!original.data || original.data.field_name !== "destination") return;
    const value = (name) => document.getElementById(`id_${name}`)?.value ?? "";
    options.data += `&integration=${encodeURIComponent(value("integration"))}`;
    options.data += `&action_chosen=${encodeURIComponent(value("action"))}`;
  });
}
