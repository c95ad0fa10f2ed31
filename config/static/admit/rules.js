// The type-ahead of courses and bundles offers those of the chosen integration and action, and only
// an action that ends access can end it whatever gave it.
"use strict";
{
  const $ = django.jQuery;
  // Select2 names its field after what is chosen, and not at all while nothing is.
  const nameEmpty = () => $(".select2-selection__rendered:not([title])").attr("title", "None");
  $(window).on("load", nameEmpty);
  $(document).on("change", ".admin-autocomplete", () => setTimeout(nameEmpty));
  $.ajaxPrefilter((options, original) => {
    if (!original.data || original.data.field_name !== "destination") return;
    const value = (name) => document.getElementById(`id_${name}`)?.value ?? "";
    options.data += `&integration=${encodeURIComponent(value("integration"))}`;
    options.data += `&action_chosen=${encodeURIComponent(value("action"))}`;
  });
  $(() => {
    const action = document.getElementById("id_action");
    const tick = document.getElementById("id_ends_all");
    if (!action || !tick) return;
    const show = () => {
      const ends = tick.dataset.actions.split(" ").includes(action.value);
      for (const name of ["ends_all", "delay_days"]) {
        document.getElementById(`id_${name}`).closest(".form-row").hidden = !ends;
      }
    };
    action.addEventListener("change", show);
    show();
  });
}
