// Starts the download that was asked for, once the answer was right. The page stays, and leads back.
"use strict";
document.querySelector("form[data-download]")?.requestSubmit();
