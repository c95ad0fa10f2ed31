"""The admin: one module a page; `registry` brings them together, `site` frames them."""
